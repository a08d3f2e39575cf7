"""Problems for archetypal analysis, and what a solution is worth."""

import dataclasses
from collections.abc import Callable

import numpy as np

from flowaa.archetypes.model import find_weights
from flowaa.archetypes.rows import Frame

_ROWS, _FEATURES, _ARCHETYPES = (500, 20_000), (2, 256), (3, 12)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Rows, and how many archetypes to find in them."""

    name: str
    x: np.ndarray  # [n, D] float32
    n_archetypes: int


def mixtures(rng: np.random.Generator, n: int, d: int, k: int) -> np.ndarray:
    """Mixtures of k random corners, and noise."""
    corners = rng.normal(size=(k, d))
    return rng.dirichlet(np.full(k, 0.5), n) @ corners + 0.1 * rng.normal(size=(n, d))


def _too_many_corners(rng: np.random.Generator, n: int, d: int, k: int) -> np.ndarray:
    return mixtures(rng, n, d, 2 * k)


def _gaussian(rng: np.random.Generator, n: int, d: int, k: int) -> np.ndarray:
    """No corners at all; standard deviations fall off from feature to feature."""
    return rng.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1))


def _clusters(rng: np.random.Generator, n: int, d: int, k: int) -> np.ndarray:
    return 2.0 * rng.normal(size=(k + 2, d))[rng.integers(k + 2, size=n)] + rng.normal(size=(n, d))


def _counts(rng: np.random.Generator, n: int, d: int, k: int) -> np.ndarray:
    """Counts of k topics, skewed and with many zeros."""
    topics = rng.gamma(0.3, size=(k, d))
    return rng.poisson(rng.dirichlet(np.full(k, 0.5), n) @ topics * rng.gamma(2.0, size=(n, 1)))


_KINDS: dict[str, Callable[[np.random.Generator, int, int, int], np.ndarray]] = {
    "mixtures": mixtures, "too_many_corners": _too_many_corners, "gaussian": _gaussian,
    "clusters": _clusters, "counts": _counts,
}


def random_problems(count: int = 10) -> list[Problem]:
    """Problems of all kinds in turn; sizes are drawn evenly in their logarithm."""
    problems = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        n, d, k = (int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
                   for low, high in (_ROWS, _FEATURES, _ARCHETYPES))
        kind = list(_KINDS)[seed % len(_KINDS)]
        x = _KINDS[kind](rng, n, d, k).astype(np.float32)
        problems.append(Problem(f"{kind}_n{n}_d{d}_k{k}", x, k))
    return problems


def exact_rss(x: np.ndarray, archetypes: np.ndarray) -> float:
    """Residual sum of squares of archetypes [K, D], with the best weights there are, in float64.

    All solvers are judged by it, so that none gains by loose weights or by rounding.
    """
    rows = np.asarray(x, np.float64)
    frame = Frame(rows.mean(0), float(rows.std()) or 1.0)
    return float(find_weights(rows, np.asarray(archetypes, np.float64), frame, solver="als")[1]
                 .sum())


def hull_archetypes(x: np.ndarray, data_weights: np.ndarray) -> np.ndarray:
    """Archetypes [K, D] of data weights [K, n], made to sum to one: none leaves the hull."""
    share = np.maximum(np.asarray(data_weights, np.float64), 0.0)
    return share / share.sum(1, keepdims=True) @ x
