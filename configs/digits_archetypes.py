"""Archetypes of handwritten digits, 8x8: real images, no download, minutes on a CPU.

python -m experiments.train --config=configs/digits_archetypes.py --workdir=runs/digits_archetypes
"""

from ml_collections import ConfigDict

from flowaa.configs import default, digits


def get_config(variant: str = "") -> ConfigDict:
    """The digits' pixels through an affine flow, with three archetypes that know the digit."""
    config = digits.get_config()
    config.flow.reshape, config.flow.n_blocks, config.flow.width = ("flatten",), (6,), (128,)
    config.flow.depth, config.flow.kernel_sizes, config.flow.split_off = (2,), ((3,),), (0.0,)
    config.flow.law = "affine"
    config.flow.dropout = 0.0
    config.likelihood.logit_alpha = 0.0

    config.archetypes.n_archetypes = 3
    config.archetypes.side = "label"
    config.archetypes.nll_weight = 1.0
    config.archetypes.archetype_weight = 1.0
    config.archetypes.reconstruction_weight = 1.0

    config.optimizer.clip_norm = 20.0
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 1e-3, 100
    config.optimizer.ema_decay = 0.995
    config.training.steps = 1_000
    return default.finish(config, variant)
