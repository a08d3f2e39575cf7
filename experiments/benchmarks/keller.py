"""Weights of known mixtures: deep archetypes with side information and without, beside the linear.

The smallest error that the noise allows is that of the posterior mean of the weights, given the
true archetypes and the noise, before the data is bent.
"""

import contextlib
import io
import tempfile

import numpy as np

import flowaa
from flowaa.configs import keller as keller_config
from flowaa.data.sources import keller

_SEEDS = (0, 1, 2, 3, 4)
_UNSUPERVISED_SEEDS = (0, 1, 2)
_GRID_STEPS = 60  # a side, of the weights that the posterior is summed over
_ROWS = 1_500


def run() -> dict[str, float]:
    """Trains configs/keller.py on several seeds, each with data of its own."""
    figures: dict[str, float] = {}
    for seed in _SEEDS:
        found = _train(seed)
        figures |= {f"keller/seed{seed}/weight_mae": found["test/weight_mae"],
                    f"keller/seed{seed}/weight_mae_linear": found["test/weight_mae_linear"],
                    f"keller/seed{seed}/weight_mae_floor": floor(seed),
                    f"keller/seed{seed}/reconstruction_mse": found["test/reconstruction_mse"]}
        if seed in _UNSUPERVISED_SEEDS:
            alone = _train(seed, **{"archetypes.side": "none"})
            figures |= {
                f"keller/seed{seed}/weight_mae_unsupervised": alone["test/weight_mae"],
                f"keller/seed{seed}/reconstruction_mse_unsupervised":
                    alone["test/reconstruction_mse"]}
    figures["keller/weight_mae_3_seeds"] = float(np.mean(
        [figures[f"keller/seed{seed}/weight_mae"] for seed in _SEEDS[:3]]))
    return figures


def floor(seed: int) -> float:
    """Mean absolute error of the posterior mean of the weights of a seed's rows."""
    rows = keller.keller(n_rows=10_000, nonlinear=False, seed=seed, test_fraction=0.2,
                         validation_fraction=0.1).test
    x, weights = np.asarray(rows.x[np.arange(_ROWS)], np.float64), rows.side
    assert weights is not None
    archetypes = np.linalg.lstsq(weights[:_ROWS].astype(np.float64), x, rcond=None)[0]
    steps = range(_GRID_STEPS + 1)
    grid = np.array([(i, j, _GRID_STEPS - i - j) for i in steps for j in steps
                     if i + j <= _GRID_STEPS]) / _GRID_STEPS
    squared = np.square(x[:, None] - (grid @ archetypes)[None]).sum(-1)
    share = np.exp(-(squared - squared.min(1, keepdims=True)) / (2 * keller.NOISE**2))
    mean = share @ grid / share.sum(1, keepdims=True)
    return float(np.abs(mean - weights[:_ROWS]).mean())


def _train(seed: int, **overrides: object) -> dict[str, float]:
    config = keller_config.get_config()
    config.seed = seed
    config.update_from_flattened_dict(overrides)
    with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stderr(io.StringIO()):
        return flowaa.train(config.lock(), workdir).summary
