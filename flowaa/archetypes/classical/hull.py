"""The archetypes Z for given weights A: min ½‖X − A Z‖², each archetype in the hull of the rows.

The objective depends on the rows only through gram = AᵀA [K, K] and cross = AᵀX [K, D]. For the
other archetypes as they are, archetype j minimises the distance from one point, so it is the
projection of that point onto the hull: a least-squares problem over the simplex whose columns are
rows of the data. A point of a hull in D dimensions is a mixture of D + 1 rows or fewer
(Carathéodory), hence only a few candidate rows of each archetype are kept: those in use, and the
rows that the gradient points to. The best row of all is always among them, and gives the duality
gap over all rows. R runs are improved side by side.
"""

from typing import NamedTuple

import numpy as np

from flowaa.archetypes.classical.rows import Rows
from flowaa.archetypes.classical.simplex_least_squares import (
    Problems,
    nearest_to_origin,
    solve,
)

N_FRESH = 8  # new candidates of each archetype and round
_FEW = 32  # features and candidates: compiled solvers, one problem at a time, are then faster
_USED, _TINY = 1e-12, np.finfo(float).tiny  # a smaller share of an archetype is none


class Hull(NamedTuple):
    """Archetypes as mixtures of rows."""

    row: np.ndarray  # [R, K, S] rows
    share: np.ndarray  # [R, K, S] on the simplex

    def archetypes(self, rows: Rows) -> np.ndarray:
        """Z [R, K, D]."""
        return np.asarray((self.share[:, :, None] @ rows.corners(self.row))[:, :, 0])

    def some(self, runs: np.ndarray) -> "Hull":
        """The mixtures of some runs."""
        return Hull(self.row[runs], self.share[runs])

    def compact(self) -> "Hull":
        """Without the rows that are not in use; S is the largest number that an archetype uses."""
        size = int((self.share > _USED).sum(2).max())
        order = np.argsort(-self.share, axis=2, kind="stable")[:, :, :size]
        share = np.take_along_axis(self.share, order, 2)
        share = np.where(share > _USED, share, 0.0)
        return Hull(np.take_along_axis(self.row, order, 2), share / share.sum(2, keepdims=True))

    def with_candidates(self, index: np.ndarray) -> "Hull":
        """With further rows [R, K, M], of share zero."""
        return Hull(np.concatenate([self.row, index], axis=2),
                    np.concatenate([self.share, np.zeros(index.shape)], axis=2))


def at_rows(index: np.ndarray) -> Hull:
    """Archetypes that are the rows at `index` [R, K]."""
    return Hull(index[:, :, None], np.ones((*index.shape, 1)))


def stack(hulls: list[Hull]) -> Hull:
    """Several runs' mixtures as one, padded with rows of share zero."""
    size = max(hull.row.shape[2] for hull in hulls)

    def pad(values: np.ndarray, mode: str) -> np.ndarray:
        width = ((0, 0), (0, 0), (0, size - values.shape[2]))
        return np.pad(values, width, mode=mode)  # type: ignore[call-overload, no-any-return]

    return Hull(np.concatenate([pad(hull.row, "edge") for hull in hulls]),
                np.concatenate([pad(hull.share, "constant") for hull in hulls]))


def best_rows(rows: Rows, pull: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the least inner products with gradients.

    Args:
        rows: the data.
        pull: [R, K, D] gradients with respect to the archetypes.
        count: how many rows for each, M; fewer if fewer are eligible.

    Returns:
        Inner products and row numbers, both [R, K, M].
    """
    n_runs, k, _ = pull.shape
    value, index = np.empty((n_runs, k, 0)), np.empty((n_runs, k, 0), int)
    for part in rows.slices():
        eligible = np.flatnonzero(rows.eligible[part])
        slope = rows.reach * (pull @ rows.block(part)[eligible].T)
        value = np.concatenate([value, slope], axis=2)
        where = np.broadcast_to(part.start + eligible, slope.shape)
        index = np.concatenate([index, where], axis=2)
        if value.shape[2] > count:
            kept = np.argpartition(value, count - 1, axis=2)[:, :, :count]
            value = np.take_along_axis(value, kept, 2)
            index = np.take_along_axis(index, kept, 2)
    return value, index


def improve(
    hull: Hull, rows: Rows, gram: np.ndarray, cross: np.ndarray, *, tolerance: np.ndarray
) -> tuple[Hull, np.ndarray]:
    """Improves the archetypes one after the other, for the others as they are by then.

    Args:
        hull: candidate rows and their shares.
        rows: the data.
        gram: [R, K, K] AᵀA, rows counting by their weights.
        cross: [R, K, D] AᵀX, likewise.
        tolerance: [R] by how much the objective may stay above its minimum.

    Returns:
        The new shares, and Z [R, K, D].
    """
    share, archetypes = hull.share.copy(), hull.archetypes(rows)
    n_runs, k, size = share.shape
    few = size <= _FEW and rows.x.shape[1] <= _FEW
    least = np.finfo(float).eps * np.trace(gram, axis1=1, axis2=2)
    usages = np.einsum("rkk->rk", gram)
    steps = np.where(usages > least[:, None],
                     1.0 / np.maximum(usages, least[:, None] + _TINY), 0.0)
    close = tolerance[:, None] / np.maximum(usages * k, _TINY)
    candidates = rows.corners(hull.row)
    for j in range(k):
        pull = (gram[:, j, None] @ archetypes)[:, 0] - cross[:, j]
        goal = archetypes[:, j] - steps[:, j, None] * pull
        # With the goal as the origin, nothing is lost to rounding near the solution.
        edges = candidates[:, j] - goal[:, None]
        if few:
            moved = ~_at_rest(share[:, j], edges, close[:, j])
            share[moved, j] = nearest_to_origin(edges[moved])
        else:
            problems = Problems(edges @ edges.swapaxes(1, 2), np.arange(n_runs),
                                np.zeros((n_runs, size)))
            share[:, j] = solve(problems, share[:, j], close[:, j])
            share[:, j] /= share[:, j].sum(1, keepdims=True)
        archetypes[:, j] = (share[:, j, None] @ candidates[:, j])[:, 0]
    return Hull(hull.row, share), archetypes


def _at_rest(share: np.ndarray, edges: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """Whether mixtures [R] of points [R, S, D] are the nearest to the origin, up to a tolerance."""
    slope = (edges @ (share[:, None] @ edges).swapaxes(1, 2))[:, :, 0]
    return np.asarray((share * slope).sum(1) - slope.min(1) <= tolerance)
