"""Your own data: rows of numbers or images in a .npz or .npy file.

python -m experiments.train --config=configs/arrays.py --config.data.path=FILE --workdir=runs/mine

FILE holds x_train, y_train, x_test and y_test, or x (and y) to be split: float rows [N, D], or
uint8 images [N, H, W, C]. With --config.flow.conditional=True the flow is given the labels y and
the numbers of context [N, E] (or context_train, context_test). The flow is chosen by shape, kind
and number of the rows (flow.architecture=auto): spline blocks, whose tails are bounded, on what a
logit makes of levels; convolutional ones for images. Features of float rows whose tails are heavy
are given a power law's (flow.tails=auto). Training ends when validation does, or after 10 minutes.
For a flow of your own add --config.flow.architecture=stages and its keys.
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """A flow chosen by the data, evaluated soon and often, the best kept."""
    config = default.get_config()
    config.data.name = "arrays"
    config.flow.architecture = "auto"
    config.flow.tails = "auto"
    config.optimizer.schedule = "constant"
    config.optimizer.weight_decay = 1e-2
    config.optimizer.ema_decay = 0.995
    config.training.batch_size = 128
    config.training.steps = 10_000
    config.training.steps_per_call = 10
    config.training.log_every_steps = 50
    config.training.evaluate_every_steps = 100
    config.training.patience = 10
    config.training.max_minutes = 10.0
    return default.finish(config, variant)
