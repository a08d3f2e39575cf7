"""A table's columns as standardised numbers: constants are taken out and put back, ties known."""

import dataclasses

import numpy as np

from flowaa.errors import UserError

_LEAST_DEVIATION = 1e-9  # of a column that varies, in units of its largest value
_FEW_VALUES = 0.6  # a column with a smaller share of distinct values than this has ties
_TIE_NOISE = 0.4  # deviation of the noise that spreads ties, in units of the usual gap between them


@dataclasses.dataclass(frozen=True)
class Columns:
    """The map of a table's numbers [n, n_features] to standardised ones [n, D] and back.

    Attributes:
        varies: [n_features] whether a column is kept; others are constant.
        constant: [n_features] the first row, whose values stand where columns are constant.
        mean: [D] of those kept.
        deviation: [D].
        tie_noise: [D] standard deviation of the noise that spreads a column's ties, in deviations;
            0 where there are few.
    """

    varies: np.ndarray
    constant: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    tie_noise: np.ndarray

    def standardise(self, x: np.ndarray) -> np.ndarray:
        """Rows [n, D] of numbers [n, n_features]."""
        return (x[:, self.varies] - self.mean) / self.deviation

    def restore(self, u: np.ndarray) -> np.ndarray:
        """Numbers [n, n_features] of rows [n, D]."""
        x = np.repeat(self.constant[None], len(u), axis=0)
        x[:, self.varies] = u * self.deviation + self.mean
        return x

    @property
    def log_det(self) -> float:
        """log|det du/dx| over the columns that vary."""
        return -float(np.log(self.deviation).sum())

    def changed(self, x: np.ndarray) -> np.ndarray:
        """Indices of columns that were constant and have another value in a row [n, n_features]."""
        is_far = np.abs(x - self.constant) > 1e-6 * np.maximum(np.abs(self.constant), 1.0)
        return np.flatnonzero(is_far.any(0) & ~self.varies)


def fit_columns(x: np.ndarray) -> Columns:
    """The map for numbers [n, n_features].

    Raises:
        UserError: every column is constant.
    """
    deviation = x.std(0)
    varies = deviation > _LEAST_DEVIATION * np.abs(x).max(0)
    if not varies.any():
        raise UserError("every column of X is constant: there is no density to learn; give rows "
                        "that differ")
    kept = x[:, varies]
    mean, deviation = kept.mean(0), kept.std(0)
    u = (kept - mean) / deviation
    return Columns(varies, x[0].copy(), mean, deviation,
                   np.array([_tie_noise(column) for column in u.T]))


def _tie_noise(column: np.ndarray) -> float:
    values = np.unique(column)
    if len(values) >= _FEW_VALUES * len(column):
        return 0.0
    return float(min(_TIE_NOISE * np.median(np.diff(values)), 0.5))

