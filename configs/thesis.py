"""The thesis's network for 32x32 colour images, here on CIFAR-10 (extra: tfds).

python -m experiments.train --config=configs/thesis.py --workdir=runs/thesis

8 028 960 parameters. FrEIA counts 8 041 968 for the same network, since it keeps constants among
its parameters: ten permutations, each with its inverse (12 768), and two shuffle kernels (240).
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """Two stages of two-sided affine convolution blocks and one of dense blocks."""
    config = default.get_config()
    config.data.name = "tfds:cifar10"

    config.flow.reshape = ("squeeze", "squeeze", "flatten")
    config.flow.n_blocks = (4, 4, 2)
    config.flow.width = (16, 32, 392)
    config.flow.depth = (2, 2, 2)
    config.flow.kernel_sizes = ((3,), (1, 3), (1,))
    config.flow.split_off = (0.0, 0.0, 0.0)

    config.optimizer.name = "adam"
    config.training.batch_size = 64
    config.training.steps = 20_000
    config.training.evaluate_every_steps = 1_000
    return default.finish(config, variant)
