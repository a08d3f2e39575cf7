"""Where the archetypes start: rows of the data.

Each rule takes rows [n, D], their weights [n], how many archetypes there are and a random
generator, and returns as many row numbers.
"""

from collections.abc import Callable

import numpy as np

from flowaa.archetypes.classical.alternation import find_weights
from flowaa.archetypes.classical.rows import Rows

Rule = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]

_EXTRA_PICKS = 10  # of FurthestSum, which replace the first, random ones
_ATTEMPTS = 3  # draws for each start that is wanted, as equal ones do not count


def draw_starts(
    rows: Rows, init: str, n_archetypes: int, n_starts: int, rng: np.random.Generator
) -> np.ndarray:
    """Distinct starts [R, K], R ≤ `n_starts`, of rows that archetypes may contain.

    FurthestSum leads from most rows to the same few starts, and small tables have few: fewer than
    asked for are returned if equal ones keep coming.
    """
    allowed = np.flatnonzero(rows.eligible)
    x, weight = rows.at(allowed), rows.weight[allowed]
    rules, found = RULES[init], dict[tuple[int, ...], np.ndarray]()
    for attempt in range(_ATTEMPTS * n_starts):
        picks = allowed[rules[attempt % len(rules)](x, weight, n_archetypes, rng)]
        found.setdefault(tuple(sorted(picks)), picks)
        if len(found) == n_starts:
            break
    return np.stack(list(found.values()))


def uniform(x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct rows, drawn in proportion to their weights."""
    share = weight / weight.sum()
    return rng.choice(len(x), count, replace=bool(np.count_nonzero(share) < count), p=share)


def furthest_first(
    x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Each row the one furthest from its nearest predecessor (Gonzalez 1985)."""
    picks = [int(uniform(x, weight, 1, rng)[0])]
    nearest = np.full(len(x), np.inf)
    while len(picks) < count:
        nearest = np.minimum(nearest, _distances(x, picks[-1]))
        picks.append(int(nearest.argmax()))
    return np.array(picks)


def furthest_sum(
    x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Each row the one with the largest sum of distances to the others (Mørup & Hansen 2012)."""
    picks = [int(uniform(x, weight, 1, rng)[0])]
    total = _distances(x, picks[0])
    for _ in range(count - 1 + _EXTRA_PICKS):
        if len(picks) == count:
            total = total - _distances(x, picks.pop(0))
        open_ = total.copy()
        open_[picks] = -np.inf
        picks.append(int(open_.argmax()) if len(picks) < len(x) else picks[0])
        total = total + _distances(x, picks[-1])
    return np.array(picks)


def aa_plus_plus(
    x: np.ndarray, weight: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Each row drawn by its squared distance from the hull of its predecessors.

    Mair & Sjölund 2024, Archetypal Analysis++ (arXiv:2301.13748).
    """
    picks = list(uniform(x, weight, 1, rng))
    while len(picks) < count:
        share = weight * find_weights(x, x[None, picks])[1][0]
        # Once the hull covers everything, any row will do.
        picks.append(uniform(x, share if share.sum() > 0 else weight, 1, rng)[0])
    return np.array(picks)


RULES: dict[str, tuple[Rule, ...]] = {
    # Far-out rows and typical ones fail on different data: take turns.
    "coreset": (furthest_sum, uniform),
    "aa++": (aa_plus_plus,),
    "furthest_first": (furthest_first,),
    "furthest_sum": (furthest_sum,),
    "uniform": (uniform,),
}


def _distances(x: np.ndarray, row: int) -> np.ndarray:
    """Distance of every row from one of them [n]."""
    return np.asarray(np.sqrt(((x - x[row]) ** 2).sum(1)))
