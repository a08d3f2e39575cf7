"""Two moons in the plane, the thesis's second toy example (4.1).

python -m experiments.train --config=configs/moons.py --workdir=runs/moons
"""

from ml_collections import ConfigDict

from configs import mixture
from configs.default import finish


def get_config(variant: str = "") -> ConfigDict:
    """The network of the mixture, trained longer, and kept smooth by decay and averaging."""
    config = mixture.get_config()
    config.data.name = "moons"
    config.optimizer.weight_decay = 0.5
    config.optimizer.ema_decay = 0.998
    config.training.batch_size = 512
    config.training.steps = 5_000
    config.detector.depth = 4
    return finish(config, variant)
