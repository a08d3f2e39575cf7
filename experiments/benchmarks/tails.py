"""Laws and fits of tails, against mpmath, SciPy, pyextremes, and by simulation.

Needs `pip install pyextremes statsmodels` (the extra `bench`). About 10 minutes on a core.
"""

import logging
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from scipy import stats
from tqdm import tqdm

from flowaa import extremes

_N_SAMPLES, _N_ROWS, _PERIOD = 1000, 500, 1e4
_BOUNDS = {
    "law_max_relative_error": "≤ 1e-5",
    "law_gradient_max_relative_error": "≤ 1e-5",
    "data_max_difference_to_scipy": "≤ 1e-3",
    "data_max_difference_to_pyextremes": "≤ 1e-3",
    "simulated_max_difference_to_scipy": "≤ 1e-3",
    "simulated_share_as_likely_as_scipy": "= 1",
    "coverage_shape_profile": "0.93 to 0.97",
    "coverage_scale_profile": "0.93 to 0.97",
    "coverage_level_profile": "0.93 to 0.97",
    "coverage_block_level_profile": "0.93 to 0.97",
}


def run() -> dict[str, float]:
    """All figures, and the bounds they are held to."""
    figures = {**_laws(), **_data(), **_simulated()}
    for name, bound in _BOUNDS.items():
        print(f"{name:40} {figures[name]:12.4g}   {bound}")
    return figures


def _laws() -> dict[str, float]:
    """float32 log density, cdf, quantile and gradients, ξ from −0.5 to 2, relative to mpmath.

    A log density or derivative is compared with its own size, or 0.3 where it is smaller: it
    passes through zero.
    """
    worst, worst_slope = 0.0, 0.0
    shapes = np.array([-0.5, -0.2, -0.01, -1e-5, -1e-8, 0, 1e-8, 1e-5, 0.01, 0.2, 0.7, 1, 2],
                      np.float32)
    x = np.array([0.05, 0.3, 0.9, 1.5, 1.95], np.float32)
    for is_pareto, law_of in ((True, extremes.GeneralisedPareto),
                              (False, extremes.GeneralisedExtremeValue)):
        def log_prob(x: jax.Array, shape: jax.Array, law_of: Any = law_of) -> jax.Array:
            return law_of(0.0, 1.0, shape).log_prob(x)

        slopes = jax.jit(jax.vmap(jax.grad(log_prob, (0, 1))))
        for shape in shapes:
            law = law_of(0.0, 1.0, shape)
            with mp.workdps(60):
                exact = [_exact(is_pareto, mp.mpf(float(v)), mp.mpf(float(shape))) for v in x]
                q = np.array([1e-6, 0.3, 0.9, 0.999], np.float32)
                values = [_exact_quantile(is_pareto, mp.mpf(float(v)), mp.mpf(float(shape)))
                          for v in q]
            got = [law.log_prob(x), law.cdf(x), law.survival_function(x)]
            for column, wanted in zip(got, np.array(exact, float).T[:3], strict=True):
                least = 0.3 if column is got[0] else 0
                error = np.abs(np.asarray(column, float) - wanted)
                worst = max(worst, float(np.max(error / np.maximum(np.abs(wanted), least))))
            error = np.abs(np.asarray(law.quantile(q), float) / np.array(values, float) - 1)
            worst = max(worst, float(np.max(error)))
            slope = slopes(x, jnp.full(len(x), shape))
            for column, wanted in zip(slope, np.array(exact, float).T[3:], strict=True):
                error = np.abs(np.asarray(column, float) - wanted)
                worst_slope = max(worst_slope, float(np.max(
                    error / np.maximum(np.abs(wanted), 0.3))))
    return {"law_max_relative_error": worst, "law_gradient_max_relative_error": worst_slope}


def _exact(is_pareto: bool, x: mp.mpf, shape: mp.mpf) -> list[mp.mpf]:
    """Log density, cdf, survival, and slopes of the first by x and ξ."""
    def log_prob(x: mp.mpf, shape: mp.mpf) -> mp.mpf:
        y = x - shape * x**2 / 2 if abs(shape) < 1e-15 else mp.log(1 + shape * x) / shape
        return -(1 + shape) * y - (0 if is_pareto else mp.exp(-y))

    y = x if shape == 0 else mp.log(1 + shape * x) / shape
    survival = mp.exp(-y) if is_pareto else 1 - mp.exp(-mp.exp(-y))
    step = mp.mpf("1e-20")
    by_x = (log_prob(x + step, shape) - log_prob(x - step, shape)) / (2 * step)
    by_shape = (log_prob(x, shape + step) - log_prob(x, shape - step)) / (2 * step)
    return [log_prob(x, shape), 1 - survival, survival, by_x, by_shape]


def _exact_quantile(is_pareto: bool, q: mp.mpf, shape: mp.mpf) -> mp.mpf:
    y = -mp.log(1 - q) if is_pareto else -mp.log(-mp.log(q))
    return y if shape == 0 else mp.expm1(shape * y) / shape


def _data() -> dict[str, float]:
    """Fits of five published data sets: largest difference of shape and of scale ÷ scale."""
    from pyextremes.models import MLE

    logging.getLogger("pyextremes").setLevel(logging.ERROR)
    to_scipy, to_pyextremes = 0.0, 0.0
    for name, x, threshold in _published():
        if threshold is None:
            fit = extremes.BlockMaxima().fit(x)
            c, location, scale = stats.genextreme.fit(x, -fit.shape_, loc=np.mean(x),
                                                      scale=np.std(x))
            ours, theirs = (fit.shape_, fit.location_ / scale, fit.scale_ / scale), (
                -c, location / scale, 1.0)
            peer = MLE(extremes=_series(x), distribution="genextreme").fit_parameters
            peers = (-peer["c"], peer["loc"] / scale, peer["scale"] / scale)
        else:
            tail = extremes.PeaksOverThreshold(threshold=threshold).fit(x)
            peaks = x[x > threshold]
            c, _, scale = stats.genpareto.fit(peaks - threshold, tail.shape_, floc=0)
            ours, theirs = (tail.shape_, 0.0, tail.scale_ / scale), (c, 0.0, 1.0)
            peer = MLE(extremes=_series(peaks), distribution="genpareto",
                       distribution_kwargs={"floc": threshold}).fit_parameters
            peers = (peer["c"], 0.0, peer["scale"] / scale)
        difference = float(np.max(np.abs(np.subtract(ours, theirs))))
        difference_to_peer = float(np.max(np.abs(np.subtract(ours, peers))))
        print(f"{name:44} n = {len(x):5} shape {ours[0]:7.4f}   SciPy {theirs[0]:7.4f}   "
              f"pyextremes {peers[0]:7.4f}")
        to_scipy, to_pyextremes = (max(to_scipy, difference),
                                   max(to_pyextremes, difference_to_peer))
    return {"data_max_difference_to_scipy": to_scipy,
            "data_max_difference_to_pyextremes": to_pyextremes}


def _published() -> Iterator[tuple[str, np.ndarray, float | None]]:
    """Name, values and threshold (None: they are block maxima)."""
    from sklearn.datasets import load_breast_cancer, load_diabetes
    from statsmodels import datasets

    nile = datasets.nile.load_pandas().data["volume"].to_numpy(float)
    elnino = datasets.elnino.load_pandas().data.drop(columns="YEAR").to_numpy(float)
    spots = datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float)
    cancer, diabetes = load_breast_cancer(), load_diabetes(scaled=False)
    area = cancer.data[:, list(cancer.feature_names).index("area error")]
    glucose = diabetes.data[:, 9]
    yield "Nile at Aswan, volume of a year", nile, None
    yield "El Niño, largest temperature of a year", elnino.max(axis=1), None
    yield "sunspots of a year, over 80", spots, 80.0
    yield "breast cancer, area error, over 40", area, 40.0
    yield "diabetes, blood glucose, over 95.5", glucose, 95.5


def _series(x: np.ndarray) -> Any:
    import pandas as pd

    return pd.Series(x, index=pd.date_range("1700-01-01", periods=len(x), freq="D"))


def _simulated() -> dict[str, float]:
    """Simulated samples, ξ from −0.2 to 0.5: fits against SciPy's, and coverage of 95 %."""
    difference, as_likely, covered = 0.0, 0, np.zeros(4)
    for seed in tqdm(range(_N_SAMPLES), "simulated samples"):
        shape = (-0.2, 0.0, 0.2, 0.5)[seed % 4]
        x = stats.genpareto.rvs(shape, size=_N_ROWS, random_state=seed)
        tail = extremes.PeaksOverThreshold(threshold=0.0).fit(x)
        # SciPy starts from the truth, not from ours, and with its own tolerance.
        c, _, scale = stats.genpareto.fit(x, shape, floc=0, scale=1.0)
        difference = max(difference, abs(tail.shape_ - c), abs(tail.scale_ - scale))
        as_likely += (stats.genpareto.nnlf((tail.shape_, 0, tail.scale_), x)
                      <= stats.genpareto.nnlf((c, 0, scale), x) + 1e-6)
        maxima = stats.genextreme.rvs(-shape, size=_N_ROWS, random_state=seed)
        blocks = extremes.BlockMaxima().fit(maxima)
        level = stats.genpareto.isf(1 / _PERIOD, shape)
        block_level = stats.genextreme.isf(1 / _PERIOD, -shape)
        covered += [
            interval.low <= true <= interval.high for interval, true in (
                (tail.interval("shape"), shape), (tail.interval("scale"), 1.0),
                (tail.interval(n=_PERIOD), level), (blocks.interval(n=_PERIOD), block_level))]
    names = ("shape", "scale", "level", "block_level")
    return {"simulated_max_difference_to_scipy": difference,
            "simulated_share_as_likely_as_scipy": as_likely / _N_SAMPLES,
            **{f"coverage_{name}_profile": float(share) for name, share in zip(
                names, covered / _N_SAMPLES, strict=True)}}
