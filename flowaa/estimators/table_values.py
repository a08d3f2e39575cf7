"""Categories and missing values of a table, as numbers that a density can be learned of.

Categories are codes, and a missing value is a number of its own below all those of its column: both
are values that many rows share, and are learned as that (`flowaa.flow.tables.ties`), together with
what goes with them in other columns.
"""

import dataclasses
from typing import Any

import numpy as np

from flowaa.detection.tables.encoding import UNSEEN
from flowaa.errors import UserError


@dataclasses.dataclass(frozen=True)
class TableValues:
    """What stands for what in a table of n_features columns.

    Attributes:
        levels: categories, in order, of each column of a data frame that held no numbers.
        has_missing: [n_features] whether values were missing in the fit.
        stand_in: [n_features] the number in their place.
        below: [n_features] under which a number is taken for missing.
    """

    levels: dict[str, tuple[str, ...]]
    has_missing: np.ndarray
    stand_in: np.ndarray
    below: np.ndarray

    def fill(self, x: np.ndarray, names: Any) -> np.ndarray:
        """Numbers [n, n_features] of codes and numbers, NaN where missing.

        Raises:
            UserError: a value is missing in a column where none was in the fit.
        """
        is_missing = np.isnan(x)
        new = np.flatnonzero(is_missing.any(0) & ~self.has_missing)
        if len(new):
            raise UserError(f"column {names[new[0]]} contains NaN, and had no missing value in the "
                            "fit: fill such values or leave their rows out")
        return np.where(is_missing, self.stand_in, x)

    def restore(self, x: np.ndarray, names: Any) -> Any:
        """What numbers [n, n_features] stand for: NaN, and a data frame if there are categories."""
        x = np.where(self.has_missing & (x < self.below), np.nan, x)
        if not self.levels:
            return x
        import pandas as pd  # categories came in one of its frames

        frame = pd.DataFrame(x, columns=names)
        for name, levels in self.levels.items():
            code = np.clip(np.rint(frame[name].to_numpy()), 0, max(len(levels) - 1, 0))
            frame[name] = pd.Categorical.from_codes(
                np.where(np.isnan(code), -1, code).astype(int), list(levels))
        return frame


def fit_values(
    x: np.ndarray, levels: dict[str, tuple[str, ...]], names: Any
) -> TableValues:
    """What stands for the values of x [n, n_features], codes and numbers, NaN where missing."""
    stand_in, below = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for index, (name, column) in enumerate(zip(names, x.T, strict=True)):
        known = column[~np.isnan(column)]
        if str(name) in levels:
            known = np.append(known, UNSEEN)
        lowest, spread = (known.min(), _spread(known)) if len(known) else (1.0, 1.0)
        stand_in[index], below[index] = lowest - spread, lowest - spread / 2
    return TableValues(levels, np.isnan(x).any(0), stand_in, below)


def _spread(known: np.ndarray) -> float:
    """A distance of the size of those between values [n]."""
    scale = np.abs(known).max() or 1.0
    unit = known / scale
    quartiles = np.subtract(*np.quantile(unit, [0.75, 0.25]))
    return float(scale * (quartiles or unit.std() or 1.0))
