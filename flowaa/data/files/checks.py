"""Checks of the user's rows, labels and context; each failure is a one-line UserError."""

from collections.abc import Mapping

import numpy as np

from flowaa.data.dataset import Rows
from flowaa.data.rows import chunks
from flowaa.errors import UserError, warn

_RENUMBER = "number the classes 0, 1, … with numpy.unique(y, return_inverse=True)[1]"
_LARGEST = 1e18  # of a value's size: its square is a float32
_N_NAMED = 5  # columns or labels named in a message


def check_finite(rows: Rows, where: str) -> None:
    """Raises a `UserError` that names row and column of the first value that none can train on.

    These are NaN, infinity, and values whose square is beyond float32.
    """
    for start, chunk in chunks(rows):
        bad = np.argwhere(~(np.abs(chunk) < _LARGEST))  # NaN is
        if len(bad):
            row, *place = bad[0].tolist()
            value = chunk[tuple(bad[0])]
            column = f"column {place[0]}" if len(place) == 1 else f"place {tuple(place)}"
            if np.isfinite(value):
                raise UserError(f"{where}: row {start + row}, {column} is {value:g}, whose square "
                                "is beyond float32; correct the value or rescale the column")
            raise UserError(f"{where}: row {start + row}, {column} is {value} (as float32); remove "
                            "rows or columns with missing values, or fill them in")


def constant_columns(rows: Rows) -> list[int]:
    """Columns of rows [N, D] in which all values are the same."""
    first = np.asarray(rows[np.arange(1)])
    varies = np.any([(chunk != first).any(0) for _, chunk in chunks(rows)], axis=0)
    return np.flatnonzero(~varies).tolist()


def check_numeric(array: np.ndarray, where: str) -> None:
    """Raises a `UserError` unless the type is of real numbers; it names columns of text."""
    if array.dtype.names:
        raise UserError(f"{where} is a structured array with the fields "
                        f"{listed(array.dtype.names)}; keep those of numbers with "
                        "numpy.lib.recfunctions.structured_to_unstructured")
    if array.dtype.kind in "USO" and array.ndim == 2:
        text = [index for index, column in enumerate(array.T) if not _is_number(column)]
        if text:
            raise UserError(f"{where} has type {array.dtype}: text stands in column "
                            f"{listed(text)}; leave it out or encode it as numbers")
        raise UserError(f"{where} has type {array.dtype}, numbers kept as text; convert it with "
                        "x.astype(numpy.float32)")
    if array.dtype.kind not in "iuf":
        raise UserError(f"{where} has type {array.dtype}; give levels as uint8, or continuous data "
                        "as float32")


def check_context(context: np.ndarray, n_rows: int, where: str) -> np.ndarray:
    """Context as [n_rows, E] float32.

    Args:
        context: [n_rows, E] or [n_rows] finite numbers.
        n_rows: rows that it belongs to.
        where: file and key, for messages.

    Raises:
        UserError: if it is not.
    """
    if context.ndim == 1:
        context = context[:, None]
    if context.ndim != 2 or len(context) != n_rows or not context.shape[1]:
        raise UserError(f"{where} has shape {context.shape} where {n_rows} rows need ({n_rows}, E);"
                        " give one row of numbers for each row of x")
    check_numeric(context, where)
    with np.errstate(over="ignore"):  # an overflow is found right below
        context = context.astype(np.float32)
    check_finite(context, where)
    return context


def check_labels(labels: np.ndarray, n_rows: int, where: str) -> np.ndarray:
    """Labels as [n_rows] int64, or as text where they are text.

    Args:
        labels: [n_rows] or [n_rows, 1] whole numbers ≥ 0 of any type, or text.
        n_rows: rows that are labelled.
        where: file and key, for messages.

    Raises:
        UserError: if they are not.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (n_rows,):
        raise UserError(f"{where} has shape {labels.shape} where {n_rows} rows need "
                        f"({n_rows},); give one class a row")
    if labels.dtype.kind in "US" or all(isinstance(label, str) for label in labels):
        return labels.astype(str)
    if labels.dtype.kind not in "buif":
        raise UserError(f"{where} has type {labels.dtype}; {_RENUMBER}")
    # NaN differs from itself rounded, so it is found here too.
    bad = (labels != np.round(labels)) if labels.dtype.kind == "f" else np.zeros(n_rows, bool)
    bad = bad | (labels < 0) | (labels >= 2**31)
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(f"{where}: row {row} has label {labels[row]}, which is not a whole number "
                        f"from 0 on; {_RENUMBER}")
    return labels.astype(np.int64)


def number_classes(
    labels: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Class indices [N] int32 of each split's labels, and the names of the C classes.

    Text is numbered in sorted order. Whole numbers stand for themselves if they begin with 0; if
    they begin with 1 they are lowered by one, with a warning.

    Args:
        labels: checked labels by file and key; the first are the ones to train on.

    Raises:
        UserError: if whole numbers of the first split have gaps, or another split has a label that
            the first has not.
    """
    where, train = next(iter(labels.items()))
    names = np.unique(train)
    if train.dtype.kind == "i":
        first = min(int(names[0]), 1)
        gaps = names != first + np.arange(len(names))
        if gaps.any():
            missing, row = first + int(np.argmax(gaps)), int(np.argmax(train == names[-1]))
            raise UserError(f"{where}: label {train[row]} (row {row}) is out of range, for class "
                            f"{missing} has no row; {_RENUMBER}")
        if first:
            warn(f"{where}: the labels 1 … {names[-1]} are taken as the classes 0 … "
                 f"{names[-1] - 1}")
    for where, values in labels.items():
        unknown = ~np.isin(values, names)
        if unknown.any():
            row = int(np.argmax(unknown))
            raise UserError(f"{where}: row {row} has label {values[row]}, but the training labels "
                            f"are {listed(names.tolist())}; correct it or leave it out")
    numbered = {where: np.searchsorted(names, values).astype(np.int32)
                for where, values in labels.items()}
    return numbered, tuple(map(str, names.tolist()))


def listed(values: list | tuple) -> str:
    """The first few values, and how many there are if there are more."""
    text = ", ".join(map(str, values[:_N_NAMED]))
    return text if len(values) <= _N_NAMED else f"{text}, … ({len(values)} altogether)"


def _is_number(column: np.ndarray) -> bool:
    try:
        column.astype(float)
    except (ValueError, TypeError):
        return False
    return True
