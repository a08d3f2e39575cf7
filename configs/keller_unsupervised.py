"""The mixtures of configs/keller.py, whose weights are found without scores: an archetypal flow.

python -m experiments.train --config=configs/keller_unsupervised.py --workdir=runs/keller_alone

About a minute on two cores. The base distribution is a noisy simplex, training is by likelihood
alone, and the best checkpoint is that of the validation rows. Settings were chosen on seeds 5 and
6, by validation likelihood. On seeds 0 to 4 weights are off by 1.04, 1.02, 1.01, 1.14 and 1.05
times what the noise allows (`python -m experiments.benchmark archetypal_flow`). The data is of the
kind that this flow is made for: a curve of one feature away from a plane, and weights of a
Dirichlet law, whose concentration is learned (`--config.data.concentration=1,2,4` draws others).
Where a bend mixes features, couplings are needed, of which less is identifiable (see
flowaa/flow/noisy_simplex.py).
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
