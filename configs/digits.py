"""Handwritten digits, 8x8 with 17 levels: real images that need no download.

python -m experiments.train --config=configs/digits.py --workdir=runs/digits
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """Splines after a logit: they bend each pixel's skewed marginal, where affine laws cannot.

    Convolutions come first, which see strokes wherever they are; dense blocks see the whole digit.
    """
    config = default.get_config()
    config.data.name = "digits"

    config.flow.reshape = ("squeeze", "flatten")
    config.flow.n_blocks = (4, 2)
    config.flow.width = (32, 128)
    config.flow.depth = (2, 2)
    config.flow.kernel_sizes = ((3,), (1,))
    config.flow.split_off = (0.0, 0.0)
    config.flow.law = "spline"
    config.flow.spline_bound = 8.0  # the logit of alpha = 1e-3 reaches 6.9
    config.flow.dropout = 0.2

    config.likelihood.logit_alpha = 1e-3

    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 50
    config.optimizer.weight_decay = 1e-2
    config.optimizer.ema_decay = 0.99

    config.training.batch_size = 128
    config.training.steps = 900
    config.training.evaluate_every_steps = 100
    return default.finish(config, variant)
