"""The alternation: weights A for the archetypes as they stand, then archetypes Z for that A.

R runs advance side by side from different archetypes, so that small tables are not held up by
Python's overhead; a run that has converged leaves. Each half solves a convex problem, so the loss
never rises; Nesterov's momentum on Z, dropped whenever it stops paying, saves rounds.
"""

import dataclasses

import numpy as np

from flowaa.archetypes.classical import hull as hulls
from flowaa.archetypes.classical import robust
from flowaa.archetypes.classical.hull import N_FRESH, Hull, best_rows, improve
from flowaa.archetypes.classical.rows import Rows
from flowaa.archetypes.classical.simplex_least_squares import Problems, solve

_LEAST_ROUNDS, _PATIENCE = 5, 2.0  # before a run is given up; in the decrease that it may still see
_ROUNDING = 1e-14  # of the total sum of squares: a smaller loss, or change of it, is none


@dataclasses.dataclass(frozen=True)
class Round:
    """What a round of the alternation is asked for."""

    loss: str  # one of robust.LOSSES
    tol: float  # relative decrease of the loss in a round that ends a run
    max_rounds: int
    rival: float = np.inf  # a loss: runs that will hardly get below it are given up


@dataclasses.dataclass(frozen=True)
class Fits:
    """Where R runs ended."""

    hull: Hull  # B
    loss: np.ndarray  # [R] weighted
    n_rounds: np.ndarray  # [R]
    stalled: np.ndarray  # [R] bool: whether a round gained less than `tol`, before `max_rounds`
    cutoff: np.ndarray  # [R] of the robust loss

    @staticmethod
    def before(hull: Hull) -> "Fits":
        """Runs that have not begun."""
        n_runs = len(hull.row)
        return Fits(hull, np.full(n_runs, np.inf), np.zeros(n_runs, int), np.zeros(n_runs, bool),
                    np.full(n_runs, np.inf))

    def some(self, runs: np.ndarray) -> "Fits":
        """Some of the runs."""
        return Fits(self.hull.some(runs), self.loss[runs], self.n_rounds[runs], self.stalled[runs],
                    self.cutoff[runs])


@dataclasses.dataclass(frozen=True)
class Mixing:
    """The weights for given archetypes, and the sums over rows that new archetypes depend on."""

    weights: np.ndarray  # [R, n, K] A
    gram: np.ndarray  # [R, K, K] AᵀA, rows counting by their weights and the loss's slope
    cross: np.ndarray  # [R, K, D] AᵀX, likewise
    loss: np.ndarray  # [R] weighted losses
    squared: np.ndarray  # [R, n] residuals


def find_weights(
    x: np.ndarray, archetypes: np.ndarray, start: np.ndarray | None = None,
    tolerance: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The weights A for given archetypes.

    Args:
        x: [n, D] rows.
        archetypes: [R, K, D] of R runs.
        start: [R, n, K] weights to improve; None starts at each row's nearest archetype.
        tolerance: [R] or one for all: by how much the sum of ½‖x − A Z‖² may stay above its
            minimum.

    Returns:
        A [R, n, K], and squared residuals [R, n].
    """
    n_runs, k, _ = archetypes.shape
    # Weights that sum to one do not see a shift; without the centre the problem is better posed.
    centre = archetypes.mean(1, keepdims=True)
    spread = archetypes - centre
    gram = spread @ spread.swapaxes(1, 2)
    offset = (spread @ centre.swapaxes(1, 2)).swapaxes(1, 2)
    target = x @ spread.swapaxes(1, 2) - offset
    if start is None:
        nearest = (0.5 * np.einsum("rkk->rk", gram)[:, None] - target).argmin(2)
        start = np.eye(k)[nearest]
    owner = np.repeat(np.arange(n_runs), len(x))
    problems = Problems(gram, owner, target.reshape(-1, k))
    flat = solve(problems, np.asarray(start, np.float64).reshape(-1, k), tolerance)
    weights = (flat / flat.sum(1, keepdims=True)).reshape(n_runs, len(x), k)
    squared = np.stack([((x - mixed) ** 2).sum(1) for mixed in weights @ archetypes])
    return weights, squared


def alternate(rows: Rows, fits: Fits, asked: Round) -> Fits:
    """Follows runs until a round without momentum lowers their loss by less than `asked.tol`."""
    done = [np.array(value) for value in (fits.loss, fits.n_rounds, fits.stalled, fits.cutoff)]
    loss, n_rounds, stalled, cutoff = done
    ended: dict[int, Hull] = {}
    runs, hull = np.arange(len(loss)), fits.hull
    archetypes = hull.archetypes(rows)
    ahead, momentum, weights = archetypes, np.ones(len(runs)), None
    gained = np.zeros(len(runs))
    for number in range(asked.max_rounds):
        # Halves need not be solved better than the loss is watched, or falls.
        tolerance = np.zeros(len(runs)) if number == 0 else (
            0.1 * np.maximum(asked.tol * loss[runs], gained))
        mixing = mix(rows, ahead, weights, cutoff[runs], asked, tolerance)
        pull = mixing.gram @ archetypes - mixing.cross
        candidates = hull.compact().with_candidates(best_rows(rows, pull, N_FRESH)[1])
        hull, new = improve(candidates, rows, mixing.gram, mixing.cross, tolerance=tolerance)
        # The decrease as such: as the difference of two sums of squares it would be lost to
        # rounding long before it is negligible. For a robust loss it is a lower bound.
        change = new - ahead
        gain = -(change * (mixing.gram @ (new + ahead) - 2.0 * mixing.cross)).sum((1, 2))
        value = mixing.loss - gain
        slow = loss[runs] - value <= asked.tol * value + _ROUNDING * rows.total
        finished = slow & (momentum == 1.0) & (number > 0)
        # A loss that falls as c / round has as many times its last decrease before it.
        hopeless = ~slow & (number >= _LEAST_ROUNDS) & (
            value - _PATIENCE * (number + 1) * (loss[runs] - value) > asked.rival)
        grown = np.where(slow, 1.0, 0.5 + np.sqrt(0.25 + momentum**2))
        drive = np.where(slow, 0.0, (momentum - 1.0) / grown)[:, None, None]
        gained = loss[runs] - value if number else np.zeros(len(runs))
        loss[runs], n_rounds[runs], stalled[runs] = value, n_rounds[runs] + 1, finished
        cutoff[runs] = robust.next_cutoff(asked.loss, cutoff[runs], mixing.squared)
        ahead, archetypes, momentum = new + drive * (new - archetypes), new, grown
        weights = mixing.weights
        ends = finished | hopeless | (number == asked.max_rounds - 1)
        if ends.any():
            for place in np.flatnonzero(ends):
                ended[int(runs[place])] = hull.some(np.array([place]))
            going = ~ends
            runs, hull, momentum = runs[going], hull.some(going), momentum[going]
            archetypes, ahead, weights = archetypes[going], ahead[going], weights[going]
            gained = gained[going]
        if not len(runs):
            break
    hull = hulls.stack([ended[run] for run in range(len(loss))])
    return Fits(hull, loss, n_rounds, stalled, cutoff)


def mix(rows: Rows, archetypes: np.ndarray, start: np.ndarray | None, cutoff: np.ndarray,
        asked: Round, tolerance: np.ndarray | float) -> Mixing:
    """A for archetypes [R, K, D] over all rows, block by block, and its sums."""
    n_runs, k, n_features = archetypes.shape
    kept_in = np.float64 if rows.converted is not None else rows.x.dtype
    # Written over `start`: of a large table, every copy of A counts.
    weights = np.empty((n_runs, len(rows), k), kept_in) if start is None else start
    gram, cross = np.zeros((n_runs, k, k)), np.zeros((n_runs, k, n_features))
    loss, squared = np.zeros(n_runs), np.empty((n_runs, len(rows)))
    for part in rows.slices():
        x = rows.block(part)
        found, squared[:, part] = find_weights(
            x, archetypes, None if start is None else start[:, part],
            tolerance * (len(x) / len(rows)))
        value, slope = robust.loss_and_slope(asked.loss, squared[:, part], cutoff)
        weighted = (found * (rows.weight[part] * slope)[:, :, None]).swapaxes(1, 2)
        gram += weighted @ found
        cross += weighted @ x
        loss += value @ rows.weight[part]
        weights[:, part] = found
    return Mixing(weights, gram, cross, loss, squared)
