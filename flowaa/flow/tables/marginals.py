"""Each feature by itself to normal scores: a monotone curve through its quantiles.

Knots lie at quantiles of the rows, drawn a little towards those of the normal law with the same
mean and deviation, so that few rows do not decide the slopes; between knots runs a monotone cubic
(Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17), and outside the last ones a straight line, not
steeper than the curve on average: far out, a point's density falls as a normal law's. Atoms,
values that many rows share (`ties`), are steep pieces within which their whole probability lies.
"""

import dataclasses

import numpy as np
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator
from scipy.stats import norm

from flowaa.flow.tables.ties import Ties

_LEAST_RISE = 1e-4  # of a knot over the one before it, in deviations, as a share of all knots
_LEAST_GAP = 1e-12  # of knots through atoms, in deviations
_FEW_ROWS = 20  # below which a column's values beside its atoms follow the law of the whole column
_LEAST_REST = 0.01  # of a column's probability that is not its atoms'
_LEAST_LEVEL = 1e-4  # of a curve through atoms, whose ends may hold much of the probability
_BISECTIONS = 60  # halvings of the interval between the last knots: to float64's precision


@dataclasses.dataclass(frozen=True)
class Marginals:
    """z_j = c_j(x_j) with increasing curves c_j, float64.

    Attributes:
        knots: [D, Q] increasing values of each feature; a curve with fewer repeats its last one.
        scores: [D, Q] the normal scores at the knots.
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
            inside = np.clip(z[:, feature], self.scores[feature, 0], self.scores[feature, -1])
            low = np.full(len(z), self.knots[feature, 0])
            high = np.full(len(z), self.knots[feature, -1])
            for _ in range(_BISECTIONS):
                middle = 0.5 * (low + high)
                is_low = curve(middle) < inside
                low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
            outside = z[:, feature] - inside
            x[:, feature] = 0.5 * (low + high) + outside / np.where(outside < 0, below, above)
        return x

    def _curve(self, feature: int) -> CubicHermiteSpline:
        """The monotone cubic, whose slopes at its ends are those of the straight tails.

        Where its last piece is flat, the usual rule makes the slope at its end 0, and with it the
        density.
        """
        knots, scores = self._points(feature)
        slopes = PchipInterpolator(knots, scores).derivative()(knots)
        slopes[0], slopes[-1] = self._tail_slopes(feature)
        return CubicHermiteSpline(knots, scores, slopes)

    def _tail_slopes(self, feature: int) -> tuple[float, float]:
        """Slopes below and above the knots: of the last piece, at most the average of all."""
        knots, scores = self._points(feature)
        slopes = np.diff(scores) / np.diff(knots)
        average = (scores[-1] - scores[0]) / (knots[-1] - knots[0])
        return min(slopes[0], average), min(slopes[-1], average)

    def _points(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """A feature's own knots and the scores there."""
        is_own = np.diff(self.knots[feature], prepend=-np.inf) > 0
        return self.knots[feature, is_own], self.scores[feature, is_own]


def fit_marginals(
    x: np.ndarray, ties: Ties | None = None, *, n_knots: int, shrinkage: float
) -> Marginals:
    """The curves of rows x [n, D].

    Args:
        x: rows of which no column is constant, their ties spread.
        ties: what was spread, or None where nothing was.
        n_knots: knots of a curve between atoms, at evenly spread quantiles; no knot lies beyond
            the second row from the end.
        shrinkage: how far knots are drawn to the normal law's quantiles, 0 to 1.
    """
    curves = []
    for feature, column in enumerate(x.T):
        if ties is None or not len(ties.atoms[feature]):
            curves.append(_smooth(column, n_knots, shrinkage))
        else:
            curves.append(_with_atoms(column, ties.atoms[feature], ties.half_widths[feature],
                                      n_knots, shrinkage))
    most = max(len(knots) for knots, _ in curves)
    padded = [[np.pad(part, (0, most - len(part)), mode="edge") for part in curve]
              for curve in curves]
    return Marginals(*(np.stack(parts) for parts in zip(*padded, strict=True)))


def _smooth(x: np.ndarray, n_knots: int, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Knots and scores through the quantiles of x [n]."""
    outermost = min(max(2.0 / len(x), 1e-3), 0.25)
    levels = np.unique(np.clip(np.linspace(0, 1, n_knots + 2)[1:-1], outermost, 1 - outermost))
    scores = norm.ppf(levels)
    normal = x.mean() + x.std() * scores
    knots = (1 - shrinkage) * np.quantile(x, levels) + shrinkage * normal
    rise = _LEAST_RISE * x.std() * np.arange(len(levels)) / len(levels)
    return np.maximum.accumulate(knots) + rise, scores


def _with_atoms(
    x: np.ndarray, atoms: np.ndarray, half_widths: np.ndarray, n_knots: int, shrinkage: float
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
    smooth = Marginals(*(part[None] for part in _smooth(others, n_knots, shrinkage)))
    knots = np.unique(np.concatenate([smooth.knots[0], low, high]))
    knots = knots[np.diff(knots, prepend=-np.inf) > _LEAST_GAP * x.std()]
    rest = norm.cdf(smooth.to_scores(knots[:, None])[0][:, 0])
    inside = np.clip((knots[:, None] - low) / (high - low), 0, 1)
    level = (1 - shares.sum()) * rest + inside @ shares
    scores = norm.ppf(_LEAST_LEVEL + (1 - 2 * _LEAST_LEVEL) * level)
    return knots, scores
