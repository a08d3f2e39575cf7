"""Tables with missing values and categories as numbers."""

import dataclasses
from typing import Any

import numpy as np

from flowaa.detection.tables.units import bulk, power_of_two, shares_unit
from flowaa.errors import UserError

UNSEEN = -1.0  # code of a category that was not there in training
_MOST_LEVELS = 20  # categories of a column that are never too many for its rows
_DISTINCT = 0.5  # share of values that are categories of their own, beyond which none is one
_LARGEST = 1e300  # units; what is further is as far


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How codes and numbers [m, D], NaN where missing, become numbers without gaps [m, E].

    Numbers are in units near their size, so that scores do not depend on the data's; missing ones
    are the median. Categories are an indicator each. Each feature has an indicator of
    missing values, and each with categories one of unseen ones: in training these may never vary,
    and then a row in which they do is told by that (`Columns.novelty`).
    """

    units: np.ndarray  # [D] powers of two, 1 for categories
    medians: np.ndarray  # [D] in these units
    n_levels: tuple[int, ...]  # [D] 0 for numbers
    n_of_one_unit: int = 0  # D where all features are levels of one scale, else 0

    def encode(self, x: np.ndarray) -> np.ndarray:
        """The numbers [m, E] of rows [m, D]."""
        is_missing = np.isnan(x)
        is_number = np.array(self.n_levels) == 0
        with np.errstate(over="ignore"):
            scaled = np.clip(x / self.units, -_LARGEST, _LARGEST)
        filled = np.where(is_missing, self.medians, scaled)[:, is_number]
        indicators = [x[:, j] == level for j, n in enumerate(self.n_levels)
                      for level in ([UNSEEN, *range(n)] if n else [])]
        return np.column_stack([filled, is_missing, *indicators]).astype(float)


def fit_encoding(x: np.ndarray, n_levels: tuple[int, ...]) -> Encoding:
    """Units and medians of rows x [n, D]; the median of a feature that is always missing is 0."""
    known = [column[~np.isnan(column)] for column in x.T]
    units = np.array([1.0 if n else power_of_two(bulk(column))
                      for column, n in zip(known, n_levels, strict=True)])
    has_one_unit = not any(n_levels) and all(map(len, known)) and shares_unit(x)
    if has_one_unit:  # numbers stand first among what `encode` gives
        units = np.full(x.shape[1], units.max())
    medians = [np.median(column / unit) if len(column) else 0.0
               for column, unit in zip(known, units, strict=True)]
    return Encoding(units, np.array(medians), n_levels, x.shape[1] * has_one_unit)


def find_levels(X: Any) -> dict[str, tuple[str, ...]]:
    """Categories, in order, of each column of a data frame that does not hold numbers.

    Raises:
        UserError: a column holds times, or nearly as many categories as values.
    """
    if not (hasattr(X, "columns") and hasattr(X, "dtypes")):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name in X.columns:
        if _is_numeric(X[name]):
            continue
        if getattr(X[name].dtype, "kind", "O") in "mM":
            raise UserError(f"column {name} holds times ({X[name].dtype}): give them as numbers, "
                            "such as days since the first, or leave the column out")
        values = [str(value) for value in X[name].dropna()]
        levels = tuple(sorted(set(values)))
        if len(levels) > max(_MOST_LEVELS, _DISTINCT * len(values)):
            raise UserError(f"column {name} holds {len(levels)} different texts in {len(values)} "
                            "rows, too many to be categories: leave the column out, group them, or "
                            "give numbers as numbers")
        found[str(name)] = levels
    return found


def to_codes(X: Any, levels: dict[str, tuple[str, ...]]) -> Any:
    """The data frame with numbers for categories, NaN where missing; other input as it is."""
    if not levels or not hasattr(X, "columns"):
        return X
    coded = X.copy()
    for name in X.columns:
        if str(name) in levels:
            codes = {level: float(code) for code, level in enumerate(levels[str(name)])}
            is_missing = X[name].isna()
            coded[name] = [np.nan if missing else codes.get(str(value), UNSEEN)
                           for value, missing in zip(X[name], is_missing, strict=True)]
    return coded


def from_codes(x: np.ndarray, X: Any, levels: dict[str, tuple[str, ...]]) -> Any:
    """Rows x [m, D] as a data frame like X with categories for codes; as they are if X is none.

    A category that was not there in training is that of X's row, missing ones are None.
    """
    if not hasattr(X, "iloc"):
        return x
    frame = type(X)(x, columns=X.columns, index=X.index)
    for name in X.columns:
        if str(name) in levels:
            categories = dict(enumerate(levels[str(name)]))
            frame[name] = [own if code == UNSEEN else categories.get(code)
                           for code, own in zip(frame[name], X[name], strict=True)]
    return frame


def _is_numeric(column: Any) -> bool:
    return getattr(column.dtype, "kind", "O") in "biuf"
