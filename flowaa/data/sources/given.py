"""Data that a Python program has in memory: arrays, a table, or a data set of the library."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from flowaa.arguments import whole_array
from flowaa.data.dataset import Dataset
from flowaa.data.rows import chunks
from flowaa.data.sources.arrays import from_arrays
from flowaa.errors import UserError


def given(
    data: Any, *, seed: int, validation_fraction: float, test_fraction: float
) -> Dataset:
    """The splits of arrays in memory.

    Args:
        data: x, an array or a pandas table, [N, D], [N, H, W] or [N, H, W, C]; or (x, y) with
            labels; or a mapping with the keys of an `.npz` file: x, y, context, and x_test,
            x_validation, … where there are such splits. A `Dataset` stays as it is.
        seed: governs the splits made here.
        validation_fraction: share of the training rows, unless there is x_validation.
        test_fraction: share of all rows, unless there is x_test.

    Raises:
        UserError: as `arrays`.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, tuple):
        if len(data) != 2:
            raise UserError(f"data is a tuple of {len(data)}; give x, (x, y) or a mapping")
        data = dict(zip(("x", "y"), data, strict=True))
    elif isinstance(data, list) and len(data) == 2:  # two rows alone cannot be split
        raise UserError("data is a list of two; give a tuple (x, y)")
    elif not isinstance(data, Mapping):
        data = {"x": data}
    for name in data:
        if not isinstance(name, str):
            raise UserError(f"data has the key {name!r}, which is no text; give a mapping with the "
                            "keys x, y, context, x_test, …")
    found = {name: _array(array, f"data: {name}") for name, array in data.items()
             if array is not None}
    if "x_test" in found:  # x is then what is trained on
        found = {f"{name}_train" if name in ("x", "y", "context") else name: array
                 for name, array in found.items()}
    return from_arrays(found, "data", seed=seed, validation_fraction=validation_fraction,
                       test_fraction=test_fraction)


def _array(values: Any, where: str) -> np.ndarray:
    """An array without missing values: none masked, none None, and none of pandas' NA."""
    if hasattr(values, "isna") and hasattr(values, "dtypes"):  # a table or a column of pandas
        missing = np.asarray(values.isna())
        if missing.any():
            named = ""
            if missing.ndim == 2:
                named = f", the first in column {values.columns[missing.any(0).argmax()]}"
            raise UserError(f"{where} has {missing.sum()} missing values{named}; leave such rows "
                            "out, or fill them in")
        if all(kind.kind in "biuf" for kind in np.atleast_1d(values.dtypes)):
            array = np.asarray(values)
            return array.astype(np.float64) if array.dtype == object else array  # Int64, boolean
    return whole_array(values, where)


def fingerprint(dataset: Dataset) -> str:
    """A hash of the training rows and labels: a run does not go on with other data."""
    digest = hashlib.blake2b(digest_size=8)
    for _, chunk in chunks(dataset.train.x):
        digest.update(np.ascontiguousarray(chunk).data)
    for column in (dataset.train.y, dataset.train.context):
        digest.update(b"" if column is None else np.ascontiguousarray(column).data)
    return digest.hexdigest()
