"""A few weighted rows that stand for many (Mair & Brefeld 2019, Coresets for Archetypal Analysis).

A large table's starts are compared on a coreset; a stream is kept as one, on which archetypes are
fitted as on any table (merge and reduce: each batch joins, and what exceeds the capacity is drawn
anew).
"""

import dataclasses

import numpy as np

from flowaa.archetypes.classical.rows import BLOCK_ROWS, Rows

CAPACITY = 4096  # rows of a stream's summary
_COMPARED_ROWS = 2048  # on which starts are compared


def of_rows(rows: Rows, rng: np.random.Generator) -> tuple[Rows, np.ndarray]:
    """A coreset of a table, and which of its rows it consists of."""
    squared = np.concatenate([(rows.block(part) ** 2).sum(1) for part in rows.slices()])
    eligible = rows.eligible if rows.eligible.any() else np.ones(len(rows), bool)
    # No farther than archetypes may be, else outliers would fill the coreset.
    squared = np.minimum(squared, squared[eligible].max())
    drawn, weight = draw(rows.weight, squared, _COMPARED_ROWS, rng)
    index, group = np.unique(drawn, return_inverse=True)
    return rows.only(index, np.bincount(group, weights=weight)), index


def draw(weight: np.ndarray, squared: np.ndarray, size: int, rng: np.random.Generator
         ) -> tuple[np.ndarray, np.ndarray]:
    """Draws a coreset.

    Half of the probability follows the sample weights and half the squared distance from the
    centre, where archetypes are. The draw is systematic, hence without needless repetition.

    Args:
        weight: [n] sample weights.
        squared: [n] squared distances from the centre.
        size: how many rows to draw.
        rng: draws them.

    Returns:
        Row numbers [size], and weights w / (size · p) [size], by which weighted sums are unbiased.
    """
    far = weight * squared
    total = float(far.sum())
    share = weight / weight.sum()
    if total > 0:
        share = 0.5 * share + far * (0.5 / total)
    points = (np.arange(size) + rng.random()) / size
    drawn = np.minimum(np.searchsorted(np.cumsum(share), points), len(share) - 1)
    return drawn, weight[drawn] / (size * share[drawn])


@dataclasses.dataclass(frozen=True)
class Summary:
    """Weighted rows that stand for all rows of a stream so far."""

    x: np.ndarray  # [m, D], m ≤ CAPACITY
    weight: np.ndarray  # [m] float64; their sum is that of all weights seen
    n_seen: int
    in_use: np.ndarray  # rows that archetypes are made of, which are never dropped


def extend(
    summary: Summary | None, x: np.ndarray, weight: np.ndarray, rng: np.random.Generator, *,
    in_use: np.ndarray | None = None,
) -> Summary:
    """The summary of the rows that it stood for and of further ones.

    Args:
        summary: of the rows before; None if there are none.
        x: [n, D] further rows.
        weight: [n] their sample weights.
        rng: draws which rows stay.
        in_use: of a first summary: rows of `x` that archetypes are made of.
    """
    n_seen, kept = len(x), np.unique(np.array([], int) if in_use is None else in_use)
    if summary is not None:
        x = np.concatenate([summary.x, x.astype(summary.x.dtype)])
        weight = np.concatenate([summary.weight, weight])
        n_seen, kept = n_seen + summary.n_seen, np.unique(summary.in_use)
    if len(x) <= CAPACITY:
        return Summary(x.copy(), weight, n_seen, kept)
    unit = max(float(x.max()), -float(x.min())) or 1.0  # squares could overflow
    blocks = [slice(i, i + BLOCK_ROWS) for i in range(0, len(x), BLOCK_ROWS)]
    mean = sum(weight[part] @ (x[part] / unit) for part in blocks) / weight.sum()
    squared = np.concatenate([((x[part] / unit - mean) ** 2).sum(1) for part in blocks])
    others = np.setdiff1d(np.flatnonzero(weight), kept)
    drawn, drawn_weight = draw(weight[others], squared[others], CAPACITY - len(kept), rng)
    # The draw's weights have the right expectation; with this factor their sum is exact too.
    drawn_weight *= weight[others].sum() / drawn_weight.sum()
    return Summary(np.concatenate([x[kept], x[others[drawn]]]),
                   np.concatenate([weight[kept], drawn_weight]), n_seen, np.arange(len(kept)))
