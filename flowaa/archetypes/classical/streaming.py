"""A bounded summary of a stream of rows, on which archetypes are fitted as on any table.

Merge and reduce: each batch joins the summary, and what exceeds its capacity is drawn anew as a
coreset (Mair & Brefeld 2019). The rows that make up the present archetypes are never dropped.
"""

import dataclasses

import numpy as np

from flowaa.archetypes.classical.rows import COMPARED_ROWS, draw_coreset

CAPACITY = COMPARED_ROWS


@dataclasses.dataclass(frozen=True)
class Summary:
    """Weighted rows that stand for all rows seen."""

    x: np.ndarray  # [m, D], m ≤ CAPACITY
    weight: np.ndarray  # [m] float64; their sum is that of all weights seen
    n_seen: int


def extend(
    summary: Summary | None, x: np.ndarray, weight: np.ndarray, in_use: np.ndarray,
    rng: np.random.Generator,
) -> Summary:
    """The summary of the rows it stood for and of further ones.

    Args:
        summary: of the rows before; None if there are none.
        x: [n, D] further rows.
        weight: [n] their sample weights.
        in_use: rows of the summary that archetypes are made of.
        rng: draws which rows stay.
    """
    n_seen = len(x)
    if summary is not None:
        x = np.concatenate([summary.x, x.astype(summary.x.dtype)])
        weight = np.concatenate([summary.weight, weight])
        n_seen += summary.n_seen
    if len(x) <= CAPACITY:
        return Summary(x, weight, n_seen)
    kept = np.unique(in_use)
    others = np.setdiff1d(np.flatnonzero(weight), kept)
    mean = weight @ x / weight.sum()
    squared = ((x[others] - mean) ** 2).sum(1)
    drawn, drawn_weight = draw_coreset(weight[others], squared, CAPACITY - len(kept), rng)
    # The draw's weights have the right expectation; with this factor their sum is exact too.
    drawn_weight *= weight[others].sum() / drawn_weight.sum()
    return Summary(np.concatenate([x[kept], x[others[drawn]]]),
                   np.concatenate([weight[kept], drawn_weight]), n_seen)
