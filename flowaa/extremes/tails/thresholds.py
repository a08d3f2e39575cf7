"""Where a tail begins and how heavy it is: thresholds, mean residual life, clusters, tail indices.

The tail indices estimate ξ of the generalised laws from the k largest values, without a likelihood:
a tail like x^(−1/ξ) where ξ > 0.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from flowaa.errors import UserError, warn
from flowaa.extremes import checks
from flowaa.extremes.tails.tail_fits import LEAST_ROWS

_LOWEST_QUANTILE = 0.85
_HEAVY = 0.5  # a shape above which L-moments have no variance
_LEAST_EXCEEDANCES = 3 * LEAST_ROWS  # at the highest candidate


def mean_residual_life(x: ArrayLike, thresholds: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean excess over each threshold, and its standard error (Davison and Smith 1990).

    Above a threshold from which on the tail is Pareto's it is a straight line of slope ξ/(1 − ξ).

    Args:
        x: [N] values.
        thresholds: [M].

    Returns:
        mean: [M] in the units of x; NaN above the largest value.
        standard_error: [M]; NaN where fewer than two values exceed.
    """
    values = checks.require_values(x, "x", least=2)
    levels = np.atleast_1d(checks.require_numbers(thresholds, "thresholds"))
    levels = checks.require_values(levels, "thresholds", least=1)
    excesses = [values[values > u] - u for u in levels]
    mean = np.array([e.mean() if len(e) else np.nan for e in excesses])
    error = np.array([e.std(ddof=1) / np.sqrt(len(e)) if len(e) > 1 else np.nan for e in excesses])
    return mean, error


def cluster_maxima(x: ArrayLike, threshold: float, run_length: int) -> np.ndarray:
    """The largest value of each cluster of exceedances (runs declustering, Leadbetter et al. 1989).

    A cluster ends when `run_length` neighbouring rows in a row do not exceed the threshold. The
    number of clusters over the number of exceedances estimates the extremal index.

    Args:
        x: [N] values in the order of time.
        threshold: in the units of x.
        run_length: rows, at least 1.

    Returns:
        [clusters] maxima.

    >>> cluster_maxima([0, 5, 7, 0, 6, 0, 0, 0, 9], 4, 2).tolist()
    [7.0, 9.0]
    """
    values = checks.require_values(x, "x", least=1)
    run_length = checks.require_count(run_length, "run_length")
    checks.require_finite(threshold, "threshold", shapes=((),))
    places = np.flatnonzero(values > threshold)
    starts = np.flatnonzero(np.diff(places) > run_length) + 1
    return np.array([values[group].max() for group in np.split(places, starts) if len(group)])


def choose_threshold(
    x: ArrayLike, *, n_candidates: int = 20, highest_quantile: float = 0.98,
    significance: float = 0.05, n_bootstrap: int = 200, seed: int = 0,
) -> float:
    """The lowest threshold whose exceedances pass as Pareto's (Bader, Yan and Zhang 2018).

    Candidates are quantiles from 85 % upwards: below, a body that passes for a tail of few rows
    bends it, and intervals miss the truth. At each, the Anderson–Darling distance of the
    exceedances from the law fitted to them has a p-value by parametric bootstrap; the fit is by
    L-moments, and by probability-weighted moments that exist up to ξ = 3 where the tail is heavy.
    The first k candidates are rejected together, k the largest with
    −(1/k) Σ ln(1 − p_i) ≤ significance, which bounds the false discovery rate (ForwardStop, G'Sell
    et al. 2016); the next one is taken.

    Args:
        x: [N] values.
        n_candidates: number of candidates.
        highest_quantile: share of values below the highest candidate; lowered where fewer than 30
            values would exceed it.
        significance: false discovery rate.
        n_bootstrap: draws for each p-value.
        seed: of the draws.

    Returns:
        A threshold in the units of x.

    Raises:
        UserError: if fewer than 60 values, or constant ones, are given, or an argument is out of
            range.
    """
    values = checks.require_values(x, "x", least=2 * _LEAST_EXCEEDANCES)
    n_candidates = checks.require_count(n_candidates, "n_candidates")
    n_bootstrap = checks.require_count(n_bootstrap, "n_bootstrap")
    seed = checks.require_count(seed, "seed", least=0)
    checks.require_inside(highest_quantile, "highest_quantile", 0, 1, shapes=((),))
    checks.require_inside(significance, "significance", 0, 1, shapes=((),))
    highest = max(0.5, min(highest_quantile, 1 - _LEAST_EXCEEDANCES / len(values)))
    lowest = min(_LOWEST_QUANTILE, highest)
    candidates = np.unique(np.quantile(values, np.linspace(lowest, highest, n_candidates)))
    random = np.random.default_rng(seed)
    p_values = []
    for u in candidates:
        excess = np.sort(values[values > u] - u)
        if len(np.unique(excess)) < LEAST_ROWS:
            break
        p_values.append(_goodness_of_fit(excess, n_bootstrap, random))
    if not p_values:
        raise UserError(f"above the lowest threshold, x has fewer than {LEAST_ROWS} different "
                        "values; a tail needs more: give finer or more data, or a threshold")
    below_one = np.minimum(p_values, 1 - 0.5 / n_bootstrap)
    means = np.cumsum(-np.log1p(-below_one)) / np.arange(1, len(p_values) + 1)
    rejected = np.flatnonzero(means <= significance)
    chosen = rejected[-1] + 1 if len(rejected) else 0
    if chosen == len(p_values):
        warn("no candidate threshold leaves a generalised Pareto tail; the highest is taken")
        chosen -= 1
    return float(candidates[chosen])


def _goodness_of_fit(excess: np.ndarray, n_bootstrap: int, random: np.random.Generator) -> float:
    """p-value of sorted excesses [n] under the law fitted to them."""
    distance, shape = _anderson_darling(excess[None], is_heavy=False)
    is_heavy = bool(shape[0] > _HEAVY)
    if is_heavy:
        distance, shape = _anderson_darling(excess[None], is_heavy=True)
    y = random.exponential(size=(n_bootstrap, len(excess)))
    drawn = np.sort(y if abs(shape[0]) < 1e-10 else np.expm1(shape[0] * y) / shape[0], axis=1)
    return float(np.mean(_anderson_darling(drawn, is_heavy=is_heavy)[0] >= distance[0]))


def _anderson_darling(excess: np.ndarray, *, is_heavy: bool) -> tuple[np.ndarray, np.ndarray]:
    """Distances [B] of rows of sorted excesses [B, n] from the laws fitted to them, shapes [B].

    Of the moments a_s = E[X (1 - F)^s] = σ/((s + 1)(s + 1 - ξ)), which exist for ξ < s + 1
    (Hosking and Wallis 1987), a_0 and a_1 are taken, or a_2 and a_3.
    """
    n = excess.shape[1]
    j = np.arange(1, n + 1)
    unit = np.median(excess, axis=1)
    if is_heavy:
        weight = (n - j) * (n - j - 1) / ((n - 1) * (n - 2))
        first = (excess / unit[:, None] * weight).mean(1)
        second = (excess / unit[:, None] * weight * (n - j - 2) / (n - 3)).mean(1)
        ratio = first / second
        shape = (16 - 9 * ratio) / (4 - 3 * ratio)
        scale = unit * 3 * first * (3 - shape)
    else:
        first = excess.mean(1)
        second = 2 * (excess * ((j - 1) / (n - 1))).mean(1) - first
        shape = 2 - first / second
        scale = first * (1 - shape)
    w = np.maximum(shape[:, None] * excess / scale[:, None], -1 + 1e-12)
    y = np.where(np.abs(shape[:, None]) < 1e-10, excess / scale[:, None],
                 np.log1p(w) / np.where(np.abs(shape) < 1e-10, 1, shape)[:, None])
    log_cdf = np.log(-np.expm1(-np.maximum(y, 1e-15)))
    return -n - ((2 * j - 1) * (log_cdf - y[:, ::-1])).mean(1), shape


class TailIndex(NamedTuple):
    """An estimate of ξ and its asymptotic standard error."""

    shape: float
    standard_error: float


def hill(x: ArrayLike, k: int) -> TailIndex:
    """Hill's estimator (1975): mean log excess over the (k + 1)-th largest value; for ξ > 0.

    Args:
        x: [N] values, the k + 1 largest of them positive.
        k: how many of the largest values are used.

    Raises:
        UserError: if there are too few values, or they are not positive.

    >>> hill(np.arange(1.0, 101.0) ** -0.5, 99).shape.__round__(2)
    0.49
    """
    excess = _log_excess(x, k)
    shape = float(np.mean(excess))
    return TailIndex(shape, shape / math.sqrt(k))


def moment(x: ArrayLike, k: int) -> TailIndex:
    """The moment estimator (Dekkers, Einmahl and de Haan 1989), for any ξ; arguments as `hill`."""
    excess = _log_excess(x, k)
    first, second = float(np.mean(excess)), float(np.mean(excess**2))
    if second - first**2 < 1e-12 * second:
        raise UserError(f"the {k} largest values are equal; the moment estimator needs different "
                        "ones: raise k, or give finer data")
    shape = first + 1 - 0.5 / (1 - first**2 / second)
    if shape >= 0:
        variance = 1 + shape**2
    else:
        variance = ((1 - shape) ** 2 * (1 - 2 * shape) * (
            4 - 8 * (1 - 2 * shape) / (1 - 3 * shape)
            + (5 - 11 * shape) * (1 - 2 * shape) / ((1 - 3 * shape) * (1 - 4 * shape))))
    return TailIndex(shape, math.sqrt(variance / k))


def pickands(x: ArrayLike, k: int) -> TailIndex:
    """Pickands's estimator (1975), for any ξ, from the k-th, 2k-th and 4k-th largest values.

    Args:
        x: [N] values of any sign, N ≥ 4k.
        k: a quarter of the largest values that are used.

    Raises:
        UserError: if there are too few values, or ties among the three.
    """
    largest = _largest(x, 4 * checks.require_count(k, "k"))
    first, second, fourth = largest[k - 1], largest[2 * k - 1], largest[4 * k - 1]
    if not first > second > fourth:
        raise UserError(f"Pickands's estimator needs three different values at the places {k}, "
                        f"{2 * k} and {4 * k} from the top; the data has ties there: change k")
    shape = math.log((first - second) / (second - fourth)) / math.log(2)
    ratio = math.log(2) if shape == 0 else (2**shape - 1) / shape
    variance = (2 ** (2 * shape + 1) + 1) / (2 * ratio * math.log(2)) ** 2
    return TailIndex(shape, math.sqrt(variance / k))


def _log_excess(x: ArrayLike, k: int) -> np.ndarray:
    k = checks.require_count(k, "k", least=2)
    largest = _largest(x, k + 1)
    if not largest[-1] > 0:
        raise UserError(f"the {k + 1} largest values must be positive; the smallest of them is "
                        f"{largest[-1]:g}: choose a smaller k, or add a constant to the data")
    excess = np.log(largest[:-1] / largest[-1])
    if not excess[0] > 0:
        raise UserError(f"the {k + 1} largest values are equal; a tail index needs different ones")
    return excess


def _largest(x: ArrayLike, count: int) -> np.ndarray:
    """The `count` largest values, falling."""
    values = checks.require_values(x, "x", least=count)
    return np.sort(values)[::-1][:count]
