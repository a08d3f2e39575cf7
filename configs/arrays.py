"""Your own data: rows of numbers or images in a .npz or .npy file.

python -m experiments.train --config=configs/arrays.py --config.data.path=FILE --workdir=runs/mine

FILE holds x_train, y_train, x_test and y_test, or x (and y) to be split: float rows [N, D], or
uint8 images [N, H, W, C]. With --config.flow.conditional=True the flow is given the labels y and
the numbers of context [N, E] (or context_train, context_test). The network
is for small vectors, images are flattened; for a convolutional one take e.g.
--config=configs/mnist.py --config.data.name=arrays.
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """Eight affine blocks on flattened examples."""
    config = default.get_config()
    config.data.name = "arrays"
    config.flow.reshape = ("flatten",)
    config.flow.width = (128,)
    config.optimizer.weight_decay = 1e-4
    config.optimizer.ema_decay = 0.995
    config.training.batch_size = 128
    config.training.steps_per_call = 50
    return default.finish(config, variant)
