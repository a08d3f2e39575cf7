"""Two Gaussians in the plane, the thesis's first toy example (4.1).

python -m experiments.train --config=configs/mixture.py --workdir=runs/mixture
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """Eight affine blocks with subnets 64-64, many steps a device call."""
    config = default.get_config()
    config.data.name = "mixture"
    config.training.steps_per_call = 100
    config.detector.steps_per_call = 100
    config.detector.reference = "uniform"
    config.detector.sources, config.detector.shares = ("shell",), (1.0,)
    return default.finish(config, variant)
