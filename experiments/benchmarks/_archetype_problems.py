"""Problems for archetypal analysis, and what a solution is worth."""

import dataclasses

import numpy as np

from flowaa.archetypes.classical.model import find_weights
from flowaa.archetypes.classical.rows import Frame

_ROWS, _FEATURES, _ARCHETYPES = (500, 20_000), (2, 256), (3, 12)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Rows, and how many archetypes to find in them."""

    name: str
    x: np.ndarray  # [n, D] float32
    n_archetypes: int


def mixtures(
    rng: np.random.Generator, n: int, corners: np.ndarray, *, concentration: float = 0.5,
    noise: float = 0.1,
) -> np.ndarray:
    """Mixtures [n, D] of corners [K, D], and normal noise."""
    weights = rng.dirichlet(np.full(len(corners), concentration), n)
    return weights @ corners + noise * rng.normal(size=(n, corners.shape[1]))


def random_problems(count: int = 10) -> list[Problem]:
    """Noisy mixtures; sizes are drawn evenly in their logarithm, and so is all else."""
    problems = []
    for seed in range(count):
        rng = np.random.default_rng(seed)

        def draw(low: float, high: float, rng: np.random.Generator = rng) -> float:
            return float(np.exp(rng.uniform(np.log(low), np.log(high))))

        n, d, k = (int(draw(low, high + 1)) for low, high in (_ROWS, _FEATURES, _ARCHETYPES))
        x = mixtures(rng, n, rng.normal(size=(k, d)), concentration=draw(0.2, 2.0),
                     noise=draw(0.02, 0.3))
        problems.append(Problem(f"mixtures n={n} d={d} k={k}", x.astype(np.float32), k))
    return problems


def problems_without_corners() -> list[Problem]:
    """Data of other kinds, on which every method ends in one of many near-optima."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(3000, 60)) / np.sqrt(np.arange(1, 61))
    centres = 2.0 * rng.normal(size=(7, 30))
    topics = rng.gamma(0.3, size=(8, 20))
    rates = rng.dirichlet(np.full(8, 0.5), 3000) @ topics * rng.gamma(2.0, size=(3000, 1))
    kinds = {
        "normal": normal,
        "clusters": centres[rng.integers(7, size=3000)] + rng.normal(size=(3000, 30)),
        "counts": rng.poisson(rates),
        "twice the corners": mixtures(rng, 3000, rng.normal(size=(12, 40))),
    }
    return [Problem(name, x.astype(np.float32), 6) for name, x in kinds.items()]


def exact_rss(x: np.ndarray, archetypes: np.ndarray) -> float:
    """Residual sum of squares of archetypes [K, D], with the best weights there are, in float64.

    All solvers are judged by it, so that none gains by loose weights or by rounding.
    """
    rows = np.asarray(x, np.float64)
    frame = Frame(1.0, rows.mean(0), float(rows.std()) or 1.0)
    squared = find_weights(rows, np.asarray(archetypes, np.float64), frame)[1]
    return frame.sum_of_squares(float(squared.sum()))


def hull_archetypes(x: np.ndarray, data_weights: np.ndarray) -> np.ndarray:
    """Archetypes [K, D] of data weights [K, n], made to sum to one: none leaves the hull."""
    share = np.maximum(np.asarray(data_weights, np.float64), 0.0)
    return share / share.sum(1, keepdims=True) @ x
