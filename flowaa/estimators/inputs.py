"""What estimators of tables are given: rows, seconds and random states, checked in one way."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import validate_data

from flowaa.errors import UserError


def checked_rows(
    estimator: BaseEstimator, X: Any, *, reset: bool, least_rows: int = 1,
    allows_missing: bool = False, remedy: str,
) -> np.ndarray:
    """float64 rows [n, D] of a table, by scikit-learn's checks, each complaint in one line.

    Args:
        estimator: whose attributes of features are set, or compared if `reset` is false.
        X: an array, or a data frame of pandas.
        reset: whether this is a fit.
        least_rows: how few rows will do.
        allows_missing: whether NaN is passed on.
        remedy: what to do with a column that does not hold numbers.

    Raises:
        ValueError: what is wrong, and in which column.
    """
    check_names(X)
    if _is_frame(X):
        for name in X.columns:
            if not allows_missing and X[name].isna().any():
                raise UserError(_misses("Input X contains NaN.", name))
            if not _holds_numbers(X[name]):
                raise UserError(f"column {name} does not hold numbers ({X[name].dtype}): {remedy}")
    try:
        return validate_data(estimator, X, dtype=np.float64, reset=reset,
                             ensure_min_samples=least_rows,
                             ensure_all_finite="allow-nan" if allows_missing else True)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        if reason.startswith("The feature names"):  # a list of names, and none of numbers
            raise
        if reason.endswith(("contains NaN.", "dtype('float64').")):
            values = np.asarray(X, float)
            wrong = np.isinf(values) if allows_missing else ~np.isfinite(values)
            column = int(np.flatnonzero(wrong.any(0))[0])
            name = getattr(X, "columns", range(column + 1))[column]
            raise UserError(_misses(reason, name)) from None
        raise _in_a_line(error) from None


def checked_array(values: Any, name: str) -> np.ndarray:
    """Finite float64 numbers [n, D] of the argument of that name, each complaint in one line."""
    try:
        return check_array(values, dtype=np.float64, input_name=name)
    except ValueError as error:
        line = str(_in_a_line(error))
        raise UserError(line if name in line.split() else f"{name}: {line}") from None


def checked_weights(values: Any, name: str, n: int) -> np.ndarray:
    """Weights [n] of rows, the argument of that name, at least 0 and of a finite sum."""
    try:
        weights = check_array(values, dtype=np.float64, input_name=name, ensure_2d=False,
                              ensure_min_samples=0)
    except ValueError as error:
        raise UserError(f"{name}: {_in_a_line(error)}") from None
    if weights.shape != (n,):
        raise UserError(f"{name} has shape {weights.shape}; give one number for each of {n} rows")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if (weights < 0).any() or not np.isfinite(total):
        raise UserError(f"{name} must hold numbers of at least 0 and of a finite sum")
    return weights


def _in_a_line(error: ValueError) -> UserError:
    """scikit-learn's complaint without the array that it shows."""
    reason, *rest = str(error).splitlines()
    return UserError(f"{reason} {rest[-1]}" if rest and reason.endswith("instead:") else reason)


def check_names(X: Any) -> None:
    """Refuses a data frame in which two columns have the same name."""
    if _is_frame(X) and X.columns.has_duplicates:
        raise UserError(f"column {X.columns[X.columns.duplicated()][0]} is there more than once: "
                        "give each column a name of its own")


def check_seconds(max_seconds: Any) -> None:
    """Refuses what is no time."""
    if (isinstance(max_seconds, bool) or not isinstance(max_seconds, Real)
            or not float(max_seconds) > 0):
        raise UserError(f"max_seconds={max_seconds!r}: it must be a number above 0")


def random_state_of(random_state: Any) -> np.random.RandomState:
    """NumPy's `RandomState` of what scikit-learn takes as one, or of a `Generator`."""
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.integers(2**31))
    return check_random_state(random_state)


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and hasattr(X, "iloc")


def _holds_numbers(column: Any) -> bool:
    if column.dtype.kind in "mM":  # times, which NumPy would count in nanoseconds
        return False
    try:
        return column.dtype.kind in "biufc" or np.asarray(column, float).ndim == 1
    except (TypeError, ValueError):
        return False


def _misses(reason: str, name: Any) -> str:
    return f"{reason} The first is in column {name}: fill such values or leave their rows out"
