"""Each feature by itself to normal scores: a monotone curve through its quantiles.

Knots lie at quantiles of the rows, drawn a little towards those of the normal law with the same
mean and deviation, so that few rows do not decide the slopes; between knots runs a monotone cubic
(Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17), and outside the last ones a straight line, not
steeper than the curve on average: far out, a point's density falls as a normal law's.
"""

import dataclasses

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

_LEAST_RISE = 1e-4  # of a knot over the one before it, in deviations, as a share of all knots
_BISECTIONS = 60  # halvings of the interval between the last knots: to float64's precision


@dataclasses.dataclass(frozen=True)
class Marginals:
    """z_j = c_j(x_j) with increasing curves c_j, float64.

    Attributes:
        knots: [D, Q] increasing values of each feature.
        scores: [Q] the normal scores at the knots.
    """

    knots: np.ndarray
    scores: np.ndarray

    def to_scores(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores z [n, D] of rows x [n, D], and the sum of the log-slopes [n]."""
        z, log_slope = np.empty(x.shape), np.zeros(len(x))
        for feature in range(x.shape[1]):
            curve, (below, above) = self._curve(feature), self._tail_slopes(feature)
            knots = self.knots[feature]
            inside = np.clip(x[:, feature], knots[0], knots[-1])
            outside = x[:, feature] - inside
            slope = np.where(outside < 0, below, above)
            z[:, feature] = curve(inside) + slope * outside
            log_slope += np.log(np.where(outside == 0, curve.derivative()(inside), slope))
        return z, log_slope

    def to_data(self, z: np.ndarray) -> np.ndarray:
        """Rows x [n, D] with scores z [n, D], by bisection between the last knots."""
        x = np.empty(z.shape)
        for feature in range(z.shape[1]):
            curve, (below, above) = self._curve(feature), self._tail_slopes(feature)
            inside = np.clip(z[:, feature], self.scores[0], self.scores[-1])
            low = np.full(len(z), self.knots[feature, 0])
            high = np.full(len(z), self.knots[feature, -1])
            for _ in range(_BISECTIONS):
                middle = 0.5 * (low + high)
                is_low = curve(middle) < inside
                low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
            outside = z[:, feature] - inside
            x[:, feature] = 0.5 * (low + high) + outside / np.where(outside < 0, below, above)
        return x

    def _curve(self, feature: int) -> PchipInterpolator:
        return PchipInterpolator(self.knots[feature], self.scores)

    def _tail_slopes(self, feature: int) -> tuple[float, float]:
        """Slopes below and above the knots: of the last piece, at most the average of all."""
        slopes = np.diff(self.scores) / np.diff(self.knots[feature])
        average = ((self.scores[-1] - self.scores[0])
                   / (self.knots[feature, -1] - self.knots[feature, 0]))
        return min(slopes[0], average), min(slopes[-1], average)


def fit_marginals(x: np.ndarray, *, n_knots: int, shrinkage: float) -> Marginals:
    """The curves of rows x [n, D].

    Args:
        x: rows of which no column is constant.
        n_knots: knots of a curve, at evenly spread quantiles; no knot lies beyond the second row
            from the end.
        shrinkage: how far knots are drawn to the normal law's quantiles, 0 to 1.
    """
    outermost = min(max(2.0 / len(x), 1e-3), 0.25)
    levels = np.unique(np.clip(np.linspace(0, 1, n_knots + 2)[1:-1], outermost, 1 - outermost))
    scores = norm.ppf(levels)
    mean, deviation = x.mean(0), x.std(0)
    knots = np.quantile(x, levels, axis=0).T
    normal = mean[:, None] + deviation[:, None] * scores
    knots = (1 - shrinkage) * knots + shrinkage * normal
    rise = _LEAST_RISE * deviation[:, None] * np.arange(len(levels)) / len(levels)
    return Marginals(np.maximum.accumulate(knots, axis=1) + rise, scores)
