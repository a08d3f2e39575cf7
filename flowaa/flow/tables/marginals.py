"""Each feature by itself to normal scores: a monotone curve through its quantiles.

Knots lie at quantiles of the rows, drawn a little towards those of the normal law with the same
mean and deviation, so that few rows do not decide the slopes; between knots runs a monotone cubic
(Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17). Outside the last ones runs a straight line, not
steeper than the curve on average, so that far out a point's density falls as a normal law's; or,
where the rows there fall as a power, the scores of that law (`pareto_tails`). Atoms, values that
many rows share (`ties`), are steep pieces within which their whole probability lies.
"""

import dataclasses
import functools

import numpy as np
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator
from scipy.special import log_ndtr
from scipy.stats import norm

from flowaa.flow.tables.pareto_tails import (
    NO_TAIL,
    ParetoTail,
    drawn_together,
    heavy_tail,
)
from flowaa.flow.tables.ties import Ties

_LEAST_RISE = 1e-4  # of a knot over the one before it, in deviations, as a share of all knots
_LEAST_GAP = 1e-12  # of knots through atoms, in deviations
_FEW_ROWS = 20  # below which a column's values beside its atoms follow the law of the whole column
_LEAST_REST = 0.01  # of a column's probability that is not its atoms'
_LEAST_LEVEL = 1e-4  # of a curve through atoms, whose ends may hold much of the probability
_STEEPEST = 3.0  # of a cubic's end over its piece, beyond which it may turn (Fritsch & Carlson)
_ROUNDS, _PRECISION = 60, 1e-15  # of Newton's method: halvings alone would need as many


@dataclasses.dataclass(frozen=True)
class Marginals:
    """z_j = c_j(x_j) with increasing curves c_j, float64.

    Attributes:
        knots: [D, Q] increasing values of each feature; a curve with fewer repeats its last one.
        scores: [D, Q] the normal scores at the knots.
        tail_scales: [D, 2] of the Pareto law below and above the knots.
        tail_shapes: [D, 2] its index; 0 where the curve is straight.
    """

    knots: np.ndarray
    scores: np.ndarray
    tail_scales: np.ndarray
    tail_shapes: np.ndarray

    def to_scores(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores z [n, D] of rows x [n, D], and the sum of the log-slopes [n]."""
        z, log_slope = np.empty(x.shape), np.zeros(len(x))
        for feature in range(x.shape[1]):
            curve, knots = self._curve(feature), self.knots[feature]
            inside = np.clip(x[:, feature], knots[0], knots[-1])
            outside = x[:, feature] - inside
            z[:, feature] = curve(inside)
            slope = np.log(curve.derivative()(inside))
            for side, here in enumerate((outside < 0, outside > 0)):
                z[here, feature], slope[here] = self._beyond(feature, side, outside[here])
            log_slope += slope
        return z, log_slope

    def to_data(self, z: np.ndarray) -> np.ndarray:
        """Rows x [n, D] with scores z [n, D]; between knots by Newton's method within brackets."""
        x = np.empty(z.shape)
        for feature in range(z.shape[1]):
            curve, scores = self._curve(feature), self.scores[feature]
            inside = np.clip(z[:, feature], scores[0], scores[-1])
            x[:, feature] = _solved(curve, *self._points(feature), inside)
            for side, here in enumerate((z[:, feature] < scores[0], z[:, feature] > scores[-1])):
                x[here, feature] += self._distance(feature, side, z[here, feature])
        return x

    def _beyond(
        self, feature: int, side: int, outside: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores [n] and their log-slopes at signed distances [n] outside the last knot."""
        tail, last = self._tail(feature, side), self.scores[feature, -side]
        if tail == NO_TAIL:
            slope = self._end_slopes(feature)[side]
            return last + slope * outside, np.full(len(outside), np.log(slope))
        sign = 2 * side - 1
        score, log_slope = tail.score(sign * outside, log_ndtr(-sign * last))
        return sign * score, log_slope

    def _distance(self, feature: int, side: int, z: np.ndarray) -> np.ndarray:
        """Signed distances [n] outside the last knot of scores z [n], the inverse of `_beyond`."""
        tail, last = self._tail(feature, side), self.scores[feature, -side]
        if tail == NO_TAIL:
            return (z - last) / self._end_slopes(feature)[side]
        sign = 2 * side - 1
        return sign * tail.excess(sign * z, log_ndtr(-sign * last))

    def _tail(self, feature: int, side: int) -> ParetoTail:
        return ParetoTail(float(self.tail_scales[feature, side]),
                          float(self.tail_shapes[feature, side]))

    def _curve(self, feature: int) -> CubicHermiteSpline:
        """The monotone cubic, whose slopes at its ends are those of the tails.

        Where its last piece is flat, the usual rule makes the slope at its end 0, and with it the
        density.
        """
        knots, scores = self._points(feature)
        slopes = PchipInterpolator(knots, scores).derivative()(knots)
        slopes[0], slopes[-1] = self._end_slopes(feature)
        return CubicHermiteSpline(knots, scores, slopes)

    def _end_slopes(self, feature: int) -> list[float]:
        """Slopes at the first and last knot.

        Of a straight tail it is that of the last piece, at most the average of all; else the
        power's, unless the cubic would turn.
        """
        knots, scores = self._points(feature)
        slopes = np.diff(scores) / np.diff(knots)
        average = (scores[-1] - scores[0]) / (knots[-1] - knots[0])
        ends = []
        for side in (0, 1):
            slope, tail = slopes[-side], self._tail(feature, side)
            if tail == NO_TAIL:
                ends.append(min(slope, average))
            else:
                sign = 2 * side - 1
                log_slope = tail.score(np.zeros(1), log_ndtr(-sign * scores[-side]))[1][0]
                ends.append(min(float(np.exp(log_slope)), _STEEPEST * slope))
        return ends

    def _points(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """A feature's own knots and the scores there."""
        is_own = np.diff(self.knots[feature], prepend=-np.inf) > 0
        return self.knots[feature, is_own], self.scores[feature, is_own]


def _solved(
    curve: CubicHermiteSpline, knots: np.ndarray, scores: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """x [n] at which the increasing curve through knots and scores is z [n]."""
    slope = curve.derivative()
    piece = np.clip(np.searchsorted(scores, z, side="right") - 1, 0, len(scores) - 2)
    low, high = knots[piece], knots[piece + 1]
    x = np.interp(z, scores, knots)
    for _ in range(_ROUNDS):
        excess = curve(x) - z
        low, high = np.where(excess < 0, x, low), np.where(excess < 0, high, x)
        with np.errstate(divide="ignore", invalid="ignore"):
            guess = x - excess / slope(x)
        before, x = x, np.where((guess >= low) & (guess <= high), guess, 0.5 * (low + high))
        if np.abs(x - before).max(initial=0.0) <= _PRECISION * (knots[-1] - knots[0]):
            break
    return x


def fit_marginals(
    x: np.ndarray, ties: Ties | None = None, *, n_knots: int, shrinkage: float,
    n_copies: int = 1, has_powers: bool = True,
) -> Marginals:
    """The curves of rows x [n, D].

    Args:
        x: rows of which no column is constant, their ties spread.
        ties: what was spread, or None where nothing was.
        n_knots: knots of a curve between atoms, at evenly spread quantiles; no knot lies beyond
            the second row from the end.
        shrinkage: how far knots are drawn to the normal law's quantiles, 0 to 1.
        n_copies: how often each row stands in x: copies say nothing more of a tail.
        has_powers: whether tails that fall as a power are sought.
    """
    curves: list[tuple[np.ndarray, np.ndarray]] = []
    excesses: list[np.ndarray] = []  # of each feature below its knots, then above
    tails: list[ParetoTail] = []
    for feature, column in enumerate(x.T):
        curve = functools.partial(_smooth, column, n_knots, shrinkage)
        if ties is not None and len(ties.atoms[feature]):
            curve = functools.partial(_with_atoms, column, ties.atoms[feature],
                                      ties.half_widths[feature], n_knots, shrinkage)
        # Knots that heavy tails do not move tell whether there are any.
        robust = curve(is_heavy=True)
        outer = _outside(column[::n_copies], robust[0])
        of_feature = [heavy_tail(excess) if has_powers else NO_TAIL for excess in outer]
        curves.append(robust if any(tail != NO_TAIL for tail in of_feature)
                      else curve(is_heavy=False))
        excesses += outer
        tails += of_feature
    most = max(len(knots) for knots, _ in curves)
    padded = [[np.pad(part, (0, most - len(part)), mode="edge") for part in curve]
              for curve in curves]
    scales, shapes = np.moveaxis(
        np.reshape(drawn_together(tails, excesses), (len(curves), 2, 2)), -1, 0)
    knots, scores = (np.stack(parts) for parts in zip(*padded, strict=True))
    return Marginals(knots, scores, scales, shapes)


def _outside(x: np.ndarray, knots: np.ndarray) -> list[np.ndarray]:
    """How far values [n] lie below the knots, and above them."""
    return [knots[0] - x[x < knots[0]], x[x > knots[-1]] - knots[-1]]


def _smooth(
    x: np.ndarray, n_knots: int, shrinkage: float, *, is_heavy: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Knots and scores through the quantiles of x [n]; heavy tails have no moments to draw to."""
    outermost = min(max(2.0 / len(x), 1e-3), 0.25)
    levels = np.unique(np.clip(np.linspace(0, 1, n_knots + 2)[1:-1], outermost, 1 - outermost))
    scores = norm.ppf(levels)
    centre, deviation = x.mean(), x.std()
    if is_heavy:
        quartiles = np.quantile(x, [0.25, 0.5, 0.75])
        centre, deviation = quartiles[1], (quartiles[2] - quartiles[0]) / 1.349 or deviation
    normal = centre + deviation * scores
    knots = (1 - shrinkage) * np.quantile(x, levels) + shrinkage * normal
    rise = _LEAST_RISE * deviation * np.arange(len(levels)) / len(levels)
    return np.maximum.accumulate(knots) + rise, scores


def _with_atoms(
    x: np.ndarray, atoms: np.ndarray, half_widths: np.ndarray, n_knots: int, shrinkage: float, *,
    is_heavy: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Knots and scores of a column x [n] with atoms: those of its other values and the atoms' ends.

    The law is a mixture of one even law for each atom and the smooth one of the other values.
    """
    low, high = atoms - half_widths, atoms + half_widths
    owner = np.searchsorted(low, x, side="right") - 1
    is_atom = (owner >= 0) & (x <= high[owner])
    shares = np.bincount(owner[is_atom], minlength=len(atoms)) / len(x)
    shares *= 1 - _LEAST_REST
    others = x if (~is_atom).sum() < _FEW_ROWS else x[~is_atom]
    knots, scores = _smooth(others, n_knots, shrinkage, is_heavy=is_heavy)
    smooth = Marginals(knots[None], scores[None], np.zeros((1, 2)), np.zeros((1, 2)))
    knots = np.unique(np.concatenate([smooth.knots[0], low, high]))
    knots = knots[np.diff(knots, prepend=-np.inf) > _LEAST_GAP * x.std()]
    rest = norm.cdf(smooth.to_scores(knots[:, None])[0][:, 0])
    inside = np.clip((knots[:, None] - low) / (high - low), 0, 1)
    level = (1 - shares.sum()) * rest + inside @ shares
    scores = norm.ppf(_LEAST_LEVEL + (1 - 2 * _LEAST_LEVEL) * level)
    return knots, scores
