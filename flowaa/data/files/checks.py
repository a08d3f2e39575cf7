"""What rows and labels must fulfil, checked once, when a data set is opened."""

from collections.abc import Mapping

import numpy as np

from flowaa.data.dataset import Rows
from flowaa.data.rows import chunks
from flowaa.errors import UserError


def check_finite(rows: Rows, where: str) -> None:
    """Raises a `UserError` that names the first row with a NaN or an infinite value."""
    for start, chunk in chunks(rows):
        finite = np.isfinite(chunk).reshape(len(chunk), -1).all(1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise UserError(f"{where}: row {row} holds NaN or infinite values (as float32); "
                            "remove such rows or fill them in")


def check_labels(labels: np.ndarray, n_rows: int, where: str) -> np.ndarray:
    """Labels as [n_rows] int32.

    Args:
        labels: [n_rows] or [n_rows, 1] whole numbers ≥ 0 of any type.
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
    renumber = "number the classes 0, 1, … with numpy.unique(y, return_inverse=True)[1]"
    if labels.dtype.kind not in "buif":
        raise UserError(f"{where} has type {labels.dtype}; {renumber}")
    # NaN is not equal to itself rounded, so it is found here too.
    bad = (labels != np.round(labels)) if labels.dtype.kind == "f" else np.zeros(n_rows, bool)
    bad = bad | (labels < 0) | (labels >= 2**31)
    if bad.any():
        row = int(np.argmax(bad))
        raise UserError(f"{where}: row {row} has label {labels[row]}, which is not a whole number "
                        f"from 0 on; {renumber}")
    return labels.astype(np.int32)


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
    if context.dtype.kind not in "buif":
        raise UserError(f"{where} has type {context.dtype}; give numbers")
    with np.errstate(over="ignore"):  # an overflow is found right below
        context = context.astype(np.float32)
    check_finite(context, where)
    return context


def check_classes(labels: Mapping[str, np.ndarray]) -> int:
    """The number of classes C; every split's labels are of the first split's 0 … C − 1.

    Args:
        labels: checked labels by file and key; the first are the ones to train on.

    Raises:
        UserError: if a class below the largest has no row in the first split (a label is then out
            of range, or the classes are not numbered from 0), or another split has more classes.
    """
    train_where, train = next(iter(labels.items()))
    counts = np.unique(train)
    n_classes = len(counts)
    gaps = counts != np.arange(n_classes)
    if gaps.any():
        missing = int(np.argmax(gaps))
        row = int(np.argmax(train == counts[-1]))
        raise UserError(f"{train_where}: label {train[row]} (row {row}) is out of range, for class "
                        f"{missing} has no row; number the classes 0, 1, … without gaps with "
                        "numpy.unique(y, return_inverse=True)[1]")
    for where, values in labels.items():
        beyond = values >= n_classes
        if beyond.any():
            row = int(np.argmax(beyond))
            raise UserError(f"{where}: row {row} has label {values[row]}, out of range 0 … "
                            f"{n_classes - 1} of the training labels; correct it or leave it out")
    return n_classes
