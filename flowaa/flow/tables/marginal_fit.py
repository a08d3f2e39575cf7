"""The curves of `Marginals`: through which quantiles of the rows, and with which tails.

Knots lie at evenly spread quantiles and then, towards the ends, at ever rarer ones, as columns
often end at an edge (no time, price or count is below zero). The fewer rows lie beyond the last
knot, the steeper the curve may leave it. Knots are drawn a little towards those of the normal law
with the same mean and deviation, so that few rows do not decide the slopes. Atoms, values that many
rows share (`ties`), are steep pieces within which their whole probability lies.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from flowaa.flow.tables.marginals import Marginals
from flowaa.flow.tables.pareto_tails import NO_TAIL, ParetoTail, drawn_together, heavy_tail
from flowaa.flow.tables.ties import Ties

_LEAST_RISE = 1e-4  # of a knot over the one before it, in deviations, as a share of all knots
_LEAST_GAP = 1e-12  # of knots through atoms, in deviations
_OUTER_RATIO, _OUTER_ROWS = 2.5, 5  # of rows beyond one knot and the next; beyond the last one
_OUTERMOST = 1e-3  # least share of rows beyond a knot
_FEW_ROWS = 20  # below which a column's values beside its atoms follow the law of the whole column
_LEAST_REST = 0.01  # of a column's probability that is not its atoms'
_LEAST_BETWEEN = 0.01  # of that, evenly between the first atom and the last
_LEAST_LEVEL = 1e-4  # of a curve through atoms, whose ends may hold much of the probability


class _Knots(NamedTuple):
    """Where a curve's knots lie."""

    n_even: int  # at evenly spread quantiles
    n_normal: float  # rows that the normal law counts as
    n_copies: int  # of each row
    has_outer: tuple[bool, bool] = (False, False)  # below and above the even ones
    is_heavy: bool = True  # whether the normal law is that of the quartiles, not of the moments

    def steepest(self, n: int) -> float:
        """How steep a tail beyond the knots of n rows may be, at most, see `Marginals`."""
        levels = self.levels(n)
        return 1 / ((self.n_even + 1) * min(levels[0], 1 - levels[-1]))

    def levels(self, n: int) -> np.ndarray:
        """Shares of n rows, copies among them, below the knots."""
        even = np.linspace(0, 1, self.n_even + 2)[1:-1]
        outer = even[0] / _OUTER_RATIO ** np.arange(1, 20)
        outer = outer[outer >= max(_OUTER_ROWS * self.n_copies / n, _OUTERMOST)]
        below, above = self.has_outer
        return np.concatenate([outer[::-1] if below else [], even, 1 - outer if above else []])


def fit_marginals(
    x: np.ndarray, ties: Ties | None = None, *, n_knots: int, n_normal: float,
    n_copies: int = 1, has_powers: bool = True,
) -> Marginals:
    """The curves of rows x [n, D].

    Args:
        x: rows of which no column is constant, their ties spread.
        ties: what was spread, or None where nothing was.
        n_knots: knots of a curve between atoms, at evenly spread quantiles; further ones follow
            towards ends that are no power's, while five rows and one in 1 000 lie beyond.
        n_normal: rows that the normal law counts as, to whose quantiles knots are drawn.
        n_copies: how often each row stands in x: copies say nothing more of an end.
        has_powers: whether tails that fall as a power are sought.
    """
    curves: list[tuple[np.ndarray, np.ndarray]] = []
    steepest: list[float] = []
    excesses: list[np.ndarray] = []  # of each feature below its knots, then above
    tails: list[ParetoTail] = []
    for feature, column in enumerate(x.T):
        curve, has_atoms = functools.partial(_smooth, column), False
        if ties is not None and len(ties.atoms[feature]):
            has_atoms = True
            curve = functools.partial(
                _with_atoms, column, ties.atoms[feature], ties.half_widths[feature])
        # Knots that heavy tails do not move tell whether there are any.
        robust = _Knots(n_knots, n_normal, n_copies)
        outer = _outside(column[::n_copies], curve(robust)[0])
        of_feature = [heavy_tail(excess) if has_powers else NO_TAIL for excess in outer]
        below, above = (tail == NO_TAIL for tail in of_feature)
        where = robust._replace(is_heavy=not (below and above))
        if not has_atoms:  # the values beside them may be few
            where = where._replace(has_outer=(below, above))
        curves.append(curve(where))
        steepest.append(where.steepest(len(column)))
        excesses += outer
        tails += of_feature
    most = max(len(knots) for knots, _ in curves)
    padded = [[np.pad(part, (0, most - len(part)), mode="edge") for part in curve]
              for curve in curves]
    scales, shapes = np.moveaxis(
        np.reshape(drawn_together(tails, excesses), (len(curves), 2, 2)), -1, 0)
    knots, scores = (np.stack(parts) for parts in zip(*padded, strict=True))
    return Marginals(knots, scores, scales, shapes, np.array(steepest))


def _outside(x: np.ndarray, knots: np.ndarray) -> list[np.ndarray]:
    """How far values [n] lie below the knots, and above them."""
    return [knots[0] - x[x < knots[0]], x[x > knots[-1]] - knots[-1]]


def _smooth(x: np.ndarray, where: _Knots) -> tuple[np.ndarray, np.ndarray]:
    """Knots and scores through the quantiles of x [n]; heavy tails have no moments to draw to."""
    outermost = min(max(2.0 / len(x), _OUTERMOST), 0.25)
    levels = np.unique(np.clip(where.levels(len(x)), outermost, 1 - outermost))
    scores = norm.ppf(levels)
    centre, deviation = x.mean(), x.std()
    if where.is_heavy:
        quartiles = np.quantile(x, [0.25, 0.5, 0.75])
        centre, deviation = quartiles[1], (quartiles[2] - quartiles[0]) / 1.349 or deviation
    normal = centre + deviation * scores
    shrinkage = where.n_normal / (where.n_normal + len(x) / where.n_copies)
    knots = (1 - shrinkage) * np.quantile(x, levels) + shrinkage * normal
    rise = _LEAST_RISE * deviation * np.arange(len(levels)) / len(levels)
    return np.maximum.accumulate(knots) + rise, scores


def _with_atoms(
    x: np.ndarray, atoms: np.ndarray, half_widths: np.ndarray, where: _Knots
) -> tuple[np.ndarray, np.ndarray]:
    """Knots and scores of a column x [n] with atoms: those of its other values and the atoms' ends.

    The law is a mixture of one even law for each atom and the smooth one of the other values.
    """
    low, high = atoms - half_widths, atoms + half_widths
    owner = np.searchsorted(low, x, side="right") - 1
    is_atom = (owner >= 0) & (x <= high[owner])
    shares = np.bincount(owner[is_atom], minlength=len(atoms)) / len(x)
    shares *= 1 - _LEAST_REST
    n_others = int((~is_atom).sum())
    if n_others < _FEW_ROWS:  # what the normal law counts as is held against them all the same
        knots, scores = _smooth(x, where._replace(
            n_normal=where.n_normal * len(x) / max(n_others, 1)))
    else:
        knots, scores = _smooth(x[~is_atom], where)
    smooth = Marginals(knots[None], scores[None], np.zeros((1, 2)), np.zeros((1, 2)),
                       np.ones(1))
    knots = np.unique(np.concatenate([smooth.knots[0], low, high]))
    knots = knots[np.diff(knots, prepend=-np.inf) > _LEAST_GAP * x.std()]
    rest = norm.cdf(smooth.to_scores(knots[:, None])[0][:, 0])
    # Between atoms as well, where the other values' law may have lost its digits.
    between = np.clip((knots - low[0]) / (high[-1] - low[0]), 0, 1)
    rest = (1 - _LEAST_BETWEEN) * rest + _LEAST_BETWEEN * between
    inside = np.clip((knots[:, None] - low) / (high - low), 0, 1)
    level = (1 - shares.sum()) * rest + inside @ shares
    scores = norm.ppf(_LEAST_LEVEL + (1 - 2 * _LEAST_LEVEL) * level)
    return knots, scores
