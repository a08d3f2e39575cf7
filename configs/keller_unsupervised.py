"""The mixtures of configs/keller.py, whose weights are found without scores: an archetypal flow.

python -m experiments.train --config=configs/keller_unsupervised.py --workdir=runs/keller_alone
"""

from ml_collections import ConfigDict

from flowaa.configs import default


def get_config(variant: str = "") -> ConfigDict:
    """A post-nonlinear mixture: a curve of each feature, then a matrix to a noisy simplex."""
    config = default.get_config()
    config.data.name = "keller"

    config.flow.curves = True
    config.flow.spline_bins, config.flow.spline_bound = 12, 8.0
    config.flow.n_blocks = (0,)
    config.flow.readout = True
    config.flow.base = "simplex"

    config.archetypes.n_archetypes = 3

    config.optimizer.learning_rate = 1e-2
    config.optimizer.clip_norm = 10.0

    config.training.steps_per_call = 50
    config.training.steps = 4_000
    config.training.evaluate_every_steps = 250
    return default.finish(config, variant)
