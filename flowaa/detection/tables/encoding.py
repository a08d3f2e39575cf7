"""Tables with missing values and categories as numbers."""

import dataclasses
from typing import Any

import numpy as np

UNSEEN = -1.0  # code of a category that was not there in training


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How codes and numbers [m, D], NaN where missing, become numbers without gaps [m, E].

    Missing numbers are the median, categories an indicator each. Each feature has an indicator of
    missing values, and each with categories one of unseen ones: in training these may never vary,
    and then a row in which they do is told by that (`Columns.novelty`).
    """

    medians: np.ndarray  # [D]
    n_levels: tuple[int, ...]  # [D] 0 for numbers

    def encode(self, x: np.ndarray) -> np.ndarray:
        """The numbers [m, E] of rows [m, D]."""
        is_missing = np.isnan(x)
        is_number = np.array(self.n_levels) == 0
        filled = np.where(is_missing, self.medians, x)[:, is_number]
        indicators = [x[:, j] == level for j, n in enumerate(self.n_levels)
                      for level in ([UNSEEN, *range(n)] if n else [])]
        return np.column_stack([filled, is_missing, *indicators]).astype(float)


def fit_encoding(x: np.ndarray, n_levels: tuple[int, ...]) -> Encoding:
    """Medians of rows x [n, D]; 0 for a feature that is always missing."""
    medians = [np.median(column[~np.isnan(column)]) if not np.isnan(column).all() else 0.0
               for column in x.T]
    return Encoding(np.array(medians), n_levels)


def find_levels(X: Any) -> dict[str, tuple[str, ...]]:
    """Categories, in order, of each column of a data frame that does not hold numbers."""
    if not (hasattr(X, "columns") and hasattr(X, "dtypes")):
        return {}
    return {str(name): tuple(sorted({str(value) for value in X[name].dropna()}))
            for name in X.columns if not _is_numeric(X[name])}


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


def _is_numeric(column: Any) -> bool:
    return getattr(column.dtype, "kind", "O") in "biuf"
