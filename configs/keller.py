"""Mixtures of three archetypes, bent out of their plane (Keller et al. 2020): the truth is known.

python -m experiments.train --config=configs/keller.py --workdir=runs/keller
"""

from ml_collections import ConfigDict

from configs import default


def get_config(variant: str = "") -> ConfigDict:
    """A small affine flow that starts as the identity, and archetypes as the classical ones."""
    config = default.get_config()
    config.data.name = "keller"

    config.flow.n_blocks = (6,)
    config.flow.width = (64,)

    config.archetypes.n_archetypes = 3

    config.training.batch_size = 256
    config.training.steps = 6_000
    config.training.steps_per_call = 50
    config.training.evaluate_every_steps = 1_000
    return default.finish(config, variant)
