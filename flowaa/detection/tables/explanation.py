"""Why a row is an outlier: by feature, the nearest inlier, and what would have to change."""

import dataclasses
from collections.abc import Callable

import numpy as np

_NEAR = 10  # inliers that stand for what a feature should be
_MOST_CHANGED = 10  # features of a row that are replaced at most
_SCORED_TOGETHER = 4_096  # candidates, one for each feature of a row


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Of m rows [m, D]; the rows in it are as those given, arrays or data frames."""

    contributions: np.ndarray  # [m, D] how far the score falls if the feature is as near inliers'
    nearest_inlier: np.ndarray  # [m, D] training row at the least distance, in the data's units
    nearest_index: np.ndarray  # [m] its index among the inliers of the fit
    counterfactual: np.ndarray  # [m, D] the row with few features changed, so that it passes
    n_changed: np.ndarray  # [m] features changed in it


def explain(
    x: np.ndarray, inliers: np.ndarray, scale: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray], limit: float,
) -> Explanation:
    """Explains each row by replacing features until an inlier is left.

    A feature is replaced by its lower median over the inliers nearest in the other features. The
    feature whose replacement lowers the score most is replaced first, then the next one given
    that; each contributes what it lowered, and the others at most what the last of them did.

    Args:
        x: [m, D] rows.
        inliers: [n, D] training rows.
        scale: [D] unit of each feature in distances; 0 for one that never varied.
        score: of rows, larger = more outlying.
        limit: score that an inlier does not exceed.
    """
    unit = np.where(scale > 0, scale, 1.0)
    n_parts = -(-len(x) * x.shape[1] // _SCORED_TOGETHER)
    parts = [_explain_together(part, inliers, unit, score, limit)
             for part in np.array_split(x, min(max(n_parts, 1), max(len(x), 1)))]
    return Explanation(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _explain_together(
    x: np.ndarray, inliers: np.ndarray, unit: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray], limit: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of `Explanation`; each round's candidates of all rows are scored at once."""
    m, d = x.shape
    nearest = np.array([np.argmin(_squared(row, inliers, unit).sum(1)) for row in x], int)
    changed, contributions = x.copy(), np.zeros((m, d))
    is_replaced, is_open = np.zeros((m, d), bool), np.ones(m, bool)
    current = score(x) if m else np.zeros(0)
    for _ in range(min(d, _MOST_CHANGED)):
        rows = np.flatnonzero(is_open)
        if not len(rows):
            break
        candidates = np.stack([_replaced(changed[i], inliers, unit) for i in rows])
        scores = score(candidates.reshape(-1, d)).reshape(-1, d)
        for i, candidate, after in zip(rows, candidates, scores, strict=True):
            drops = np.where(is_replaced[i], -np.inf, current[i] - after)
            best = int(np.argmax(drops))
            ceiling = contributions[i, is_replaced[i]].min(initial=np.inf)
            contributions[i, ~is_replaced[i]] = np.minimum(drops[~is_replaced[i]], ceiling)
            is_open[i] = current[i] > limit and drops[best] > 0
            if is_open[i]:
                contributions[i, best] = drops[best]
                is_replaced[i, best] = True
                changed[i, best] = candidate[best, best]
                current[i] -= drops[best]
    failed = current > limit  # features alone did not do: the nearest inlier does
    changed[failed] = inliers[nearest[failed]]
    return (contributions, inliers[nearest], nearest, changed,
            np.where(failed, d, is_replaced.sum(1)))


def _squared(row: np.ndarray, inliers: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Squared differences [n, D] in units; 1 where a value is missing, infinite if very far."""
    with np.errstate(over="ignore"):
        return np.nan_to_num(((inliers - row) / unit) ** 2, nan=1.0, posinf=np.inf)


def _replaced(row: np.ndarray, inliers: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Copies [D, D] of a row; in the j-th, feature j is what it is for inliers near in the rest."""
    # Differences beyond three units count as three: of an altered feature, the size does not say
    # which inliers are near.
    squared = np.minimum(_squared(row, inliers, unit), 9.0)
    total = squared.sum(1)
    copies = np.repeat(row[None], len(row), axis=0)
    n_near = min(_NEAR, len(inliers))
    for j in range(len(row)):
        near = np.argpartition(total - squared[:, j], n_near - 1)[:n_near]
        values = np.sort(inliers[near, j])  # missing ones last
        copies[j, j] = values[max(0, (~np.isnan(values)).sum() - 1) // 2]
    return copies
