"""Each feature by itself to normal scores: a monotone curve through its quantiles.

Between knots runs a monotone cubic (Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17). Outside the
last ones runs a straight line, so that far out a point's density falls as a normal law's; or, where
the rows there fall as a power, the scores of that law (`pareto_tails`). `marginal_fit` finds them.
"""

import dataclasses

import numpy as np
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator
from scipy.special import log_ndtr

from flowaa.flow.tables.pareto_tails import NO_TAIL, ParetoTail

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
        steepest: [D] a straight tail, at most, as a multiple of the curve's average slope.
    """

    knots: np.ndarray
    scores: np.ndarray
    tail_scales: np.ndarray
    tail_shapes: np.ndarray
    steepest: np.ndarray

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

        Of a straight tail it is that of the last piece, at most `steepest`; else the power's,
        unless the cubic would turn.
        """
        knots, scores = self._points(feature)
        slopes = np.diff(scores) / np.diff(knots)
        average = (scores[-1] - scores[0]) / (knots[-1] - knots[0])
        ends = []
        for side in (0, 1):
            slope, tail = slopes[-side], self._tail(feature, side)
            if tail == NO_TAIL:
                ends.append(min(slope, self.steepest[feature] * average))
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
