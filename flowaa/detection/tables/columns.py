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
    own_counts: np.ndarray  # [n] features in which a training row alone differs from all others

    def standardise(self, x: np.ndarray) -> np.ndarray:
        """Rows [m, d] of the features that varied; one of zeros if none did."""
        varied = self.deviation > 0
        if not varied.any():
            return np.zeros((len(x), 1))
        rows = (x[:, varied] - self.mean[varied]) / self.deviation[varied]
        return np.clip(rows, -_FURTHEST, _FURTHEST)

    def novelty(self, x: np.ndarray) -> np.ndarray:
        """Evidence [m] of features that never varied in training and differ in these rows.

        It is −log of the chance that an inlier has as many, by the counts of the training rows.
        """
        constant = self.deviation == 0
        tolerance = 1e-9 * np.abs(self.mean[constant])
        differs = np.abs(x[:, constant] - self.mean[constant]) > tolerance
        return _minus_log_chance(differs.sum(1), np.sort(self.own_counts))

    def own_novelty(self) -> np.ndarray:
        """The same evidence [n] of the training rows, each by the counts of the others."""
        ordered = np.sort(self.own_counts)
        counts, index = np.unique(self.own_counts, return_inverse=True)
        others = [np.delete(ordered, np.searchsorted(ordered, count)) for count in counts]
        return np.array([_minus_log_chance(count, rest)
                         for count, rest in zip(counts, others, strict=True)])[index]


def _minus_log_chance(counts: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of as many as counts, by those of n other rows, increasing.

    That a new row is the first of n + 1 to differ in a feature has a chance of 1/(n + 1): each
    feature beyond the most that any other row has counts −log of it.
    """
    n, most = len(others), others[-1]
    n_as_many = n - np.searchsorted(others, np.minimum(counts, most))
    return np.log((n + 1) / (n_as_many + 1)) + np.log(n + 1) * np.maximum(counts - most, 0)


def _count_own(x: np.ndarray) -> np.ndarray:
    """Features [n] of rows x [n, D] in which a row alone differs from the others, which agree."""
    ordered = np.sort(x, axis=0)
    counts = np.zeros(len(x), int)
    if len(x) > 2:
        is_lowest = (ordered[0] < ordered[1]) & (ordered[1] == ordered[-1])
        is_highest = (ordered[-1] > ordered[-2]) & (ordered[-2] == ordered[0])
        np.add.at(counts, x[:, is_lowest].argmin(0), 1)
        np.add.at(counts, x[:, is_highest].argmax(0), 1)
    return counts


def fit_columns(x: np.ndarray, *, n_of_one_unit: int = 0) -> Columns:
    """Means and deviations of rows x [n, D]; differences within rounding count as none.

    The first `n_of_one_unit` features have one deviation, the root mean square of theirs, also
    those that are constant: how far a new value is from a constant is known then.
    """
    own_counts = _count_own(x[:, n_of_one_unit:])
    x = np.column_stack([bulk(column) for column in x.T])
    mean, deviation = x.mean(0), x.std(0)
    constant = deviation <= 1e-12 * np.abs(x).max(0)
    if n_of_one_unit:
        shared = deviation[:n_of_one_unit][~constant[:n_of_one_unit]]
        if len(shared):
            deviation[:n_of_one_unit] = np.sqrt((shared ** 2).mean())
            constant[:n_of_one_unit] = False
    return Columns(np.where(constant, x[0], mean), np.where(constant, 0.0, deviation), own_counts)
