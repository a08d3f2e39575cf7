"""A table's columns as standardised numbers: constants are taken out and put back."""

import dataclasses
from typing import Any

import numpy as np

from flowaa.detection.tables.units import power_of_two
from flowaa.errors import UserError
from flowaa.flow.tables.ties import are_atoms

_LEAST_DEVIATION = 1e-9  # of a column that varies, in units of its largest value
_FURTHEST = 1e160  # deviations, whose squares are infinite: such a row has density 0
_MOST_OF_A_CONTEXT = 1e30  # deviations; what is computed of it stays in float32
_FAR_FROM_QUARTILES = 1e3  # deviations by the quartiles, of a deviation that a few rows make
_LEAST_OTHERS = 10  # values beside a column's atoms, that have quartiles
_FURTHEST_FITTED = 1e30  # deviations by the quartiles; what is computed of a fit's rows is finite
_MOST_LOST = 0.5  # of a column's distinct values that may become equal when it is standardised


@dataclasses.dataclass(frozen=True)
class Columns:
    """The map of a table's numbers [n, n_features] to standardised ones [n, D] and back.

    Attributes:
        varies: [n_features] whether a column is kept; others are constant.
        constant: [n_features] the first row, whose values stand where columns are constant.
        unit: [D] powers of two of those kept, so that squares do not overflow.
        mean: [D] in these units; of a column with the heaviest tails its median.
        deviation: [D] in these units; of such a column that of a normal law with its quartiles.
    """

    varies: np.ndarray
    constant: np.ndarray
    unit: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def standardise(self, x: np.ndarray) -> np.ndarray:
        """Rows [n, D] of numbers [n, n_features]; no row is further than 1e160 deviations."""
        with np.errstate(over="ignore"):
            u = (x[:, self.varies] / self.unit - self.mean) / self.deviation
        return np.clip(u, -_FURTHEST, _FURTHEST)

    def restore(self, u: np.ndarray) -> np.ndarray:
        """Numbers [n, n_features] of rows [n, D]."""
        x = np.repeat(self.constant[None], len(u), axis=0)
        x[:, self.varies] = (u * self.deviation + self.mean) * self.unit
        return x

    def of_all(self, values: np.ndarray) -> np.ndarray:
        """Values [n_features, ...] of all columns, 0 where they are constant; values [D, ...]."""
        full = np.zeros((len(self.varies), *values.shape[1:]))
        full[self.varies] = values
        return full

    @property
    def log_det(self) -> float:
        """log|det du/dx| over the columns that vary."""
        return -float((np.log(self.deviation) + np.log(self.unit)).sum())

    def changed(self, x: np.ndarray) -> np.ndarray:
        """Indices of columns that were constant and have another value in a row [n, n_features]."""
        is_far = np.abs(x - self.constant) > 1e-6 * np.abs(self.constant)
        return np.flatnonzero(is_far.any(0) & ~self.varies)


def fit_columns(x: np.ndarray, names: Any) -> Columns:
    """The map for numbers [n, n_features] in columns of these names.

    Raises:
        UserError: every column is constant, or one value is so large that others become equal.
    """
    units, means, scales = moments(x)
    varies = scales > _LEAST_DEVIATION * np.abs(x / units).max(0)
    if not varies.any():
        raise UserError("every column of X is constant: there is no density to learn; give rows "
                        "that differ")
    columns = _by_usual_rows(
        Columns(varies, x[0].copy(), units[varies], means[varies], scales[varies]), x)
    u = columns.standardise(x)
    for index, column in zip(np.flatnonzero(varies), u.T, strict=True):
        if len(np.unique(column)) < _MOST_LOST * len(np.unique(x[:, index])):
            largest = x[np.abs(x[:, index]).argmax(), index]
            raise UserError(f"column {names[index]} holds {largest:g}, so large that its other "
                            "values cannot be told apart: mend it or leave its row out")
    return columns


def _by_usual_rows(columns: Columns, x: np.ndarray) -> Columns:
    """Mean and deviation by the quartiles of x [n, n_features] where a few values make the latter.

    The deviation of a law whose tail index is 2 or more grows without bound with the rows, and all
    other values would be one level to it. So would they be to that of a column with a sentinel:
    quartiles are of values that few rows share.
    """
    scaled = x[:, columns.varies] / columns.unit
    quartiles = np.stack([_quartiles(column) for column in scaled.T], 1)
    spread = (quartiles[2] - quartiles[0]) / 1.349
    is_heavy = ((spread > _LEAST_DEVIATION * np.abs(quartiles[1]))
                & (columns.deviation > _FAR_FROM_QUARTILES * spread)
                & (np.abs(scaled - quartiles[1]).max(0) < _FURTHEST_FITTED * spread))
    return dataclasses.replace(
        columns, mean=np.where(is_heavy, quartiles[1], columns.mean),
        deviation=np.where(is_heavy, spread, columns.deviation))


def _quartiles(column: np.ndarray) -> np.ndarray:
    """The quartiles [3] of a column's values that are no atoms; zeros where there are few such."""
    values, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    others = column[~are_atoms(counts, len(column))[inverse]]
    if len(values) < 2 or len(others) < _LEAST_OTHERS:
        return np.zeros(3)
    return np.quantile(others, [0.25, 0.5, 0.75])


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units [D] of columns x [n, D], and in them their means and standard deviations."""
    unit = np.array([power_of_two(column) for column in x.T])
    return unit, (x / unit).mean(0), (x / unit).std(0)


@dataclasses.dataclass(frozen=True)
class ContextScale:
    """A context [n, E] as standardised numbers; a column that never varied keeps its unit."""

    unit: np.ndarray  # [E] powers of two
    mean: np.ndarray  # [E] in these units
    deviation: np.ndarray  # [E] in these units

    def standardise(self, context: np.ndarray) -> np.ndarray:
        """Context [n, E] in deviations.

        Raises:
            UserError: a value lies too far from those of the fit for float32.
        """
        with np.errstate(over="ignore"):
            scaled = (context / self.unit - self.mean) / self.deviation
        far = np.argwhere(~(np.abs(scaled) < _MOST_OF_A_CONTEXT))
        if len(far):
            raise UserError(f"context holds {context[tuple(far[0])]:g} in column {far[0, 1]}, too "
                            "far from the values of the fit: mend it or leave its row out")
        return scaled


def fit_context(context: np.ndarray) -> ContextScale:
    """The scale of a context [n, E]."""
    unit, mean, deviation = moments(context)
    return ContextScale(unit, mean, np.where(deviation > 0, deviation, 1.0))
