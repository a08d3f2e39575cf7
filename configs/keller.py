"""Mixtures of three archetypes, bent out of their plane (Keller et al. 2020): the truth is known.

python -m experiments.train --config=configs/keller.py --workdir=runs/keller

Without side information the losses below do not tell the weights: a flow can lay the bent triangle
into a plane in many ways, all of which reconstruct alike (configs/keller_unsupervised.py finds them
by likelihood). With it, about a minute on two cores leads to a
mean absolute weight error within 0.003 of what the noise allows. `--config.archetypes.side=none
--config.archetypes.start=linear` leaves it out; `python -m experiments.benchmark keller` compares.
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """A small affine flow that starts as the identity, and weights that predict the true ones."""
    config = default.get_config()
    config.data.name = "keller"

    config.flow.n_blocks = (6,)

    config.archetypes.n_archetypes = 3
    config.archetypes.side = "scores"
    config.archetypes.start = "side"
    config.archetypes.archetype_weight = 1.0
    # Much more of reconstruction bends the weights towards what the noise did to an example.
    config.archetypes.reconstruction_weight = 10.0
    config.archetypes.side_weight = 5_000.0

    config.training.steps_per_call = 50
    config.training.steps = 1_500
    return default.finish(config, variant)
