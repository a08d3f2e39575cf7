"""Where the archetypes start: rows of the data.

Each rule takes the rows [n, D] that may be chosen, their sample weights [n], how many archetypes
there are and a random generator, and returns as many row numbers. NumPy, for the same reason as
in `rows`.
"""

from collections.abc import Callable

import numpy as np

Rule = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]

_EXTRA_PICKS = 10  # of FurthestSum, which replace the first, random ones


def uniform(x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct rows, drawn in proportion to their weights."""
    share = weight / weight.sum(dtype=np.float64)
    return rng.choice(len(x), count, replace=bool(np.count_nonzero(share) < count), p=share)


def furthest_first(
    x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Each row the one furthest from its nearest predecessor (Gonzalez 1985)."""
    picks = [int(uniform(x, weight, 1, rng)[0])]
    norms = _squared_norms(x)
    nearest = np.full(len(x), np.inf)
    while len(picks) < count:
        nearest = np.minimum(nearest, _distances(x, norms, picks[-1]))
        picks.append(int(nearest.argmax()))
    return np.array(picks)


def furthest_sum(
    x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Each row the one with the largest sum of distances to the others (Mørup & Hansen 2012)."""
    picks = [int(uniform(x, weight, 1, rng)[0])]
    norms = _squared_norms(x)
    total = _distances(x, norms, picks[0])
    for _ in range(count - 1 + _EXTRA_PICKS):
        if len(picks) == count:
            total = total - _distances(x, norms, picks.pop(0))
        open_ = total.copy()
        open_[picks] = -np.inf
        picks.append(int(open_.argmax()) if len(picks) < len(x) else picks[0])
        total = total + _distances(x, norms, picks[-1])
    return np.array(picks)


def aa_plus_plus(residuals: Callable[[np.ndarray], np.ndarray]) -> Rule:
    """Each row drawn by its squared distance from the hull of its predecessors.

    Mair & Sjölund 2024, Archetypal Analysis++.

    Args:
        residuals: squared distances [n] of the rows from the hull of given archetypes [K, D].
    """

    def rule(
        x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        picks = uniform(x, weight, 1, rng).repeat(count)  # repeats leave the hull as it is
        for i in range(1, count):
            share = weight * residuals(x[picks])
            # Once the hull covers everything, any row will do.
            picks[i] = uniform(x, share if share.sum() > 0 else weight, 1, rng)[0]
        return picks

    return rule


def _squared_norms(x: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", x, x)


def _distances(x: np.ndarray, norms: np.ndarray, row: int) -> np.ndarray:
    """Distance of every row from one of them [n], without a copy of the rows."""
    return np.sqrt(np.maximum(norms - 2.0 * (x @ x[row]) + norms[row], 0.0))
