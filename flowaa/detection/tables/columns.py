"""Features in standard deviations, and those that never varied in training."""

import dataclasses

import numpy as np

from flowaa.detection.tables.units import bulk

_FURTHEST = 1e6  # deviations; distances and their squares stay finite


@dataclasses.dataclass(frozen=True)
class Columns:
    """How rows of a table become rows of numbers near one."""

    mean: np.ndarray  # [D]
    deviation: np.ndarray  # [D], 0 where a feature never varied
    n_rows: int

    def standardise(self, x: np.ndarray) -> np.ndarray:
        """Rows [m, d] of the features that varied; one of zeros if none did."""
        varied = self.deviation > 0
        if not varied.any():
            return np.zeros((len(x), 1))
        rows = (x[:, varied] - self.mean[varied]) / self.deviation[varied]
        return np.clip(rows, -_FURTHEST, _FURTHEST)

    def novelty(self, x: np.ndarray) -> np.ndarray:
        """Evidence [m] of features that never varied in training and differ in these rows.

        That a new row is the first of n + 1 to differ has a chance of 1/(n + 1), so each such
        feature counts −log of it.
        """
        constant = self.deviation == 0
        tolerance = 1e-9 * np.abs(self.mean[constant])
        differs = np.abs(x[:, constant] - self.mean[constant]) > tolerance
        return np.log(self.n_rows + 1.0) * differs.sum(1)

    def own_novelty(self, x: np.ndarray) -> np.ndarray:
        """The same evidence [n] of the training rows x [n, D], each against all other rows.

        It counts features in which a row alone differs from all others, which agree.
        """
        ordered = np.sort(x, axis=0)
        novelty = np.zeros(len(x))
        if len(x) > 2:
            is_lowest = (ordered[0] < ordered[1]) & (ordered[1] == ordered[-1])
            is_highest = (ordered[-1] > ordered[-2]) & (ordered[-2] == ordered[0])
            np.add.at(novelty, x[:, is_lowest].argmin(0), np.log(len(x)))
            np.add.at(novelty, x[:, is_highest].argmax(0), np.log(len(x)))
        return novelty


def fit_columns(x: np.ndarray) -> Columns:
    """Means and deviations of rows x [n, D]; differences within rounding count as none."""
    x = np.column_stack([bulk(column) for column in x.T])
    mean, deviation = x.mean(0), x.std(0)
    constant = deviation <= 1e-12 * np.abs(x).max(0)
    return Columns(np.where(constant, x[0], mean), np.where(constant, 0.0, deviation), len(x))
