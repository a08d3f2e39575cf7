"""Weights of known mixtures: deep archetypes with scores and without, beside simple methods.

Cubic ridge regression is given the same scores, classical archetypal analysis none. The smallest
error that the noise allows is about that of the posterior mean of the weights, given the true
archetypes and the noise, before the data is bent.
"""

import contextlib
import io
import tempfile

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import flowaa
from experiments.benchmarks._supervised import project_onto_simplex
from flowaa.config.data import build_data
from flowaa.configs import keller as keller_config
from flowaa.data.rows import read_all
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
                    f"keller/seed{seed}/weight_mae_ridge": ridge(seed),
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


def ridge(seed: int) -> float:
    """Mean absolute error of the weights that cubic ridge regression reads, given the scores."""
    config = keller_config.get_config()
    config.seed = seed
    data = build_data(config)
    x, scores = read_all(data.train.x), data.train.side
    assert scores is not None
    assert data.test.side is not None
    model = make_pipeline(StandardScaler(), PolynomialFeatures(3), Ridge(1.0)).fit(x, scores)
    weights = project_onto_simplex(model.predict(read_all(data.test.x)))
    return float(np.abs(weights - data.test.side).mean())


def floor(seed: int, concentration: tuple[float, ...] = (1.0, 1.0, 1.0)) -> float:
    """Mean absolute error of the posterior mean of the weights of a seed's rows.

    Of weights from Dir(concentration), summed over the middles of the cells of a grid.
    """
    rows = keller.keller(n_rows=10_000, nonlinear=False, seed=seed, test_fraction=0.2,
                         validation_fraction=0.1, concentration=concentration).test
    x, weights = np.asarray(rows.x[np.arange(_ROWS)], np.float64), rows.side
    assert weights is not None
    archetypes = np.linalg.lstsq(weights[:_ROWS].astype(np.float64), x, rcond=None)[0]
    steps = range(_GRID_STEPS)
    grid = (np.array([(i, j, _GRID_STEPS - 1 - i - j) for i in steps for j in steps
                      if i + j < _GRID_STEPS]) + 1 / 3) / _GRID_STEPS
    squared = np.square(x[:, None] - (grid @ archetypes)[None]).sum(-1)
    log_share = (np.log(grid) @ (np.asarray(concentration) - 1.0)
                 - squared / (2 * keller.NOISE**2))
    share = np.exp(log_share - log_share.max(1, keepdims=True))
    mean = share @ grid / share.sum(1, keepdims=True)
    return float(np.abs(mean - weights[:_ROWS]).mean())


def _train(seed: int, **overrides: object) -> dict[str, float]:
    config = keller_config.get_config()
    config.seed = seed
    config.update_from_flattened_dict(overrides)
    with tempfile.TemporaryDirectory() as workdir, contextlib.redirect_stderr(io.StringIO()):
        return dict(flowaa.train(config.lock(), workdir).summary)
