"""Two moons in the plane, the thesis's second toy example (4.1).

python -m experiments.train --config=configs/moons.py --workdir=runs/moons

For a detector, shells of each moon's own and a smoother density pay, as in
`python -m experiments.benchmark detectors`: `--config.flow.conditional=True
--config.optimizer.weight_decay=0.5 --config.optimizer.ema_decay=0.998
--config.training.batch_size=512`.
"""

from ml_collections import ConfigDict

from flowaa.configs import mixture
from flowaa.configs.default import finish


def get_config(variant: str = "") -> ConfigDict:
    """The network of the mixture, trained longer."""
    config = mixture.get_config()
    config.data.name = "moons"
    config.training.steps = 5_000
    config.detector.depth = 4
    return finish(config, variant)
