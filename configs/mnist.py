"""MNIST through tensorflow-datasets (extra: tfds, to prepare it once), in two scales.

python -m experiments.train --config=configs/mnist.py --workdir=runs/mnist

Other sets of 28x28 grey images need one override: --config.data.name=tfds:fashion_mnist,
tfds:kmnist or tfds:emnist/letters.
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """Two squeezes; half of the channels leave as noise between them."""
    config = default.get_config()
    config.data.name = "tfds:mnist"

    config.flow.reshape = ("squeeze", "squeeze", "flatten")
    config.flow.n_blocks = (6, 6, 2)
    config.flow.width = (64, 96, 256)
    config.flow.depth = (2, 2, 2)
    config.flow.kernel_sizes = ((3,), (3,), (1,))
    config.flow.split_off = (0.5, 0.0, 0.0)
    config.flow.mixing = "invertible_linear"
    config.flow.actnorm = True

    config.likelihood.logit_alpha = 1e-6

    config.optimizer.ema_decay = 0.999
    config.training.batch_size = 128
    config.training.steps = 20_000
    config.training.evaluate_every_steps = 1_000
    return default.finish(config, variant)
