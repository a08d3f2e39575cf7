"""Handwritten digits, 8x8 with 17 levels: real images that need no download.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits
"""

from ml_collections import ConfigDict

from configs import default


def get_config(variant: str = "") -> ConfigDict:
    """One squeeze, then dense blocks, after a logit."""
    config = default.get_config()
    config.data.name = "digits"
    config.data.validation_fraction = 0.1

    config.flow.reshape = ("squeeze", "flatten")
    config.flow.n_blocks = (4, 4)
    config.flow.width = (64, 128)
    config.flow.depth = (2, 2)
    config.flow.kernel_sizes = ((3,), (3,))
    config.flow.split_off = (0.0, 0.0)
    config.flow.dropout = 0.2

    config.likelihood.logit_alpha = 1e-3

    config.optimizer.weight_decay = 1e-2
    config.optimizer.ema_decay = 0.995

    config.training.batch_size = 128
    config.training.steps = 1_000
    config.training.evaluate_every_steps = 100
    return default.finish(config, variant)
