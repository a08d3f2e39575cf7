"""Which features make the largest rows large, and which of them together."""

import numpy as np
from numpy.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes import checks


def feature_shares(x: ArrayLike) -> np.ndarray:
    """Shares [N, D] of features in how far rows x [N, D] lie from their medians; rows sum to one.

    Distances are squared, in deviations told by the quartiles; a row at all medians has equal
    shares.

    >>> feature_shares([[0.0, 1.0], [1.0, 0.0], [2.0, -1.0], [9.0, 0.5]]).round(1)[-1].tolist()
    [1.0, 0.0]
    """
    rows = _matrix(x)
    spread = np.subtract(*np.quantile(rows, [0.75, 0.25], axis=0)) / 1.349
    spread = np.where(spread > 0, spread, np.maximum(rows.std(0), 1e-300))
    distance = (rows - np.median(rows, axis=0)) / spread
    squared = (distance / np.maximum(np.abs(distance).max(1, keepdims=True), 1e-300)) ** 2
    total = squared.sum(1, keepdims=True)
    return np.where(total > 0, squared / np.where(total > 0, total, 1.0), 1.0 / rows.shape[1])


def tail_dependence(x: ArrayLike, *, share: float = 0.1) -> np.ndarray:
    """How often features are large together: χ(u) [D, D] of rows x [N, D] (Coles et al. 1999).

    Entry i, j is the share of the rows that are large in feature i which are large in j as well:
    1 where they always are, and `share` where they are independent. Large is a row by its distance
    from the feature's median; of a feature with none, as a constant or a binary one has, all
    entries are NaN.

    Args:
        x: rows.
        share: of the rows, that are large in a feature; fewer where values are tied.

    Raises:
        UserError: x is no table of two rows and more, or fewer than ten rows would count.
    """
    rows = _matrix(x)
    checks.require_inside(share, "share", 0, 1, shapes=((),))
    n = len(rows)
    n_large = int(share * n)
    if n_large < 10:
        raise UserError(f"{n_large} of {n} rows count as large, and ten are needed: give more rows "
                        "or a larger share")
    distance = np.abs(rows - np.median(rows, axis=0))
    is_large = (distance > np.quantile(distance, 1 - share, axis=0)).astype(float)
    counts = is_large.sum(0)
    found = is_large.T @ is_large / np.maximum(counts, 1.0)[:, None]
    found[counts == 0], found[:, counts == 0] = np.nan, np.nan
    return found


def _matrix(x: ArrayLike) -> np.ndarray:
    rows = checks.require_numbers(x, "x")
    if rows.ndim != 2 or len(rows) < 2 or not rows.shape[1]:
        raise UserError(f"x has the shape {rows.shape}; it must be rows [N, D], at least two")
    if not np.isfinite(rows).all():
        raise UserError("x holds values that are not finite; leave their rows out")
    return rows
