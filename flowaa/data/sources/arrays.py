"""The user's own arrays: `.npz` or `.npy`, images or rows of features."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flowaa.data.dataset import Dataset, Rows, Split
from flowaa.data.description import describe
from flowaa.data.files import checks
from flowaa.data.files.npz import read_arrays
from flowaa.data.rows import chunks
from flowaa.data.splitting import complete
from flowaa.errors import UserError, warn

N_LEVELS = 256  # of uint8 data
_LEVEL_TOLERANCE = 1e-3  # of a float from a whole level
_KEYS_EXPECTED = ("keep x (and y, context), or x_train and x_test (and x_validation), and for each "
                  "of them y_… (and context_…)")


def arrays(*, path: str, seed: int, validation_fraction: float, test_fraction: float) -> Dataset:
    """Rows, labels and context of a NumPy file.

    The file holds either `x` (or `X`), of which validation and test rows are held out here, or
    `x_train`, `x_test` and maybe `x_validation`. For each `x…` there may be labels `y…`, whole
    numbers or text, and `context…`, [N, E] or [N] numbers that a conditional density is given.

    Images are [N, H, W, C] or [N, H, W], which gets one channel; rows of features are [N, D].
    uint8 are discrete data of 256 levels, as are images of other integers from 0 to 255 and images
    of floats that are such levels, maybe divided by 255. All else is continuous: floats, and tables
    of other integers. Arrays of more than 256 MiB are memory-mapped if they are stored
    uncompressed.

    Args:
        path: the file.
        seed: governs the splits made here.
        validation_fraction: share of the training rows, unless there is `x_validation`.
        test_fraction: share of all rows, unless there is `x_test`.

    Raises:
        UserError: if the file cannot be read, its keys or shapes do not fit together, values are
            not finite, labels are out of range, or the rows are too few to split.
    """
    if not path:
        raise UserError("no file is named; set config.data.path=FILE.npz")
    return from_arrays(read_arrays(Path(path).expanduser()), path, seed=seed,
                       validation_fraction=validation_fraction, test_fraction=test_fraction)


def from_arrays(found: Mapping[str, np.ndarray], path: str, *, seed: int,
                validation_fraction: float, test_fraction: float) -> Dataset:
    """As `arrays`, of arrays in memory; `path` is what errors call them."""
    # scikit-learn's name for a table is X.
    found = {f"x{key[1:]}" if key.startswith("X") else key: found[key] for key in found}
    suffixes = _check_keys(path, set(found))
    rows = {suffix: _rows(found[f"x{suffix}"], f"{path}: x{suffix}") for suffix in suffixes}
    _check_alike(path, "x", rows)
    rows = _float_levels(path, rows)
    labels = {f"{path}: y{suffix}": checks.check_labels(found[f"y{suffix}"], len(rows[suffix]),
                                                        f"{path}: y{suffix}")
              for suffix in suffixes if f"y{suffix}" in found}
    classes, class_names = checks.number_classes(labels) if labels else ({}, ())
    contexts = {suffix: checks.check_context(found[f"context{suffix}"], len(rows[suffix]),
                                             f"{path}: context{suffix}")
                for suffix in suffixes if f"context{suffix}" in found}
    _check_alike(path, "context", contexts)

    given = {suffix.removeprefix("_") or "train": Split(
        rows[suffix], classes.get(f"{path}: y{suffix}"), context=contexts.get(suffix))
        for suffix in suffixes}
    train, validation, test = complete(given, seed=seed, test_fraction=test_fraction,
                                       validation_fraction=validation_fraction)
    discrete = _first(train.x).dtype == np.uint8
    spec = describe(train, n_levels=N_LEVELS if discrete else 0, class_names=class_names)
    if len(spec.shape) == 1 and not discrete:
        constant = checks.constant_columns(train.x)
        if constant:
            warn(f"{path}: column {checks.listed(constant)} of x is constant in the training rows, "
                 "so that no density along it is finite; leave it out")
    return Dataset("arrays", spec, train, validation, test)


def _check_keys(path: str, keys: set[str]) -> list[str]:
    """Suffixes of the splits there are, the one to train on first."""
    suffixes = [""] if "x" in keys else ["_train", "_test"]
    suffixes += ["_validation"] if "x_train" in keys and "x_validation" in keys else []
    x, y, context = ({f"{name}{suffix}" for suffix in suffixes} for name in ("x", "y", "context"))
    if keys not in (x, x | y, x | context, x | y | context):
        raise UserError(f"{path} has the keys {', '.join(sorted(keys)) or '(none)'}; "
                        f"{_KEYS_EXPECTED}")
    return suffixes


def _rows(array: np.ndarray, where: str) -> Rows:
    """Checked rows: [N, H, W, C] or [N, D], uint8 or (on reading) float32."""
    checks.check_numeric(array, where)
    if not 2 <= array.ndim <= 4:
        remedy = "one feature as x[:, None]" if array.ndim == 1 else "rows of features [N, D]"
        raise UserError(f"{where} has shape {array.shape}; give images [N, H, W, C] or [N, H, W], "
                        f"or {remedy}")
    if 0 in array.shape:
        raise UserError(f"{where} has shape {array.shape}, which holds no values; bring some rows")
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] > 4:
        raise UserError(f"{where} has shape {array.shape}, with the channels first; give images "
                        "[N, H, W, C], e.g. x.transpose(0, 2, 3, 1)")
    if array.ndim == 3:
        array = array[..., None]
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "iu" and array.ndim == 4:
        if array.min() < 0 or array.max() >= N_LEVELS:
            raise UserError(f"{where} holds integers beyond 0 … {N_LEVELS - 1}; give levels as "
                            "uint8, or continuous data as float32")
        return array.astype(np.uint8)
    rows: Rows = array if array.dtype == np.float32 else _converted(array)
    checks.check_finite(rows, where)
    return rows


class _Converted:
    """Rows that become float32, or levels, when they are read."""

    def __init__(self, rows: Rows, factor: float = 0.0) -> None:
        self._rows = rows
        self._factor = factor  # of floats that are levels once they are multiplied by it; or 0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        rows = np.asarray(self._rows[indices])
        if self._factor:
            return np.rint(rows * self._factor).astype(np.uint8)
        with np.errstate(over="ignore"):  # `check_finite` names what overflows
            return rows.astype(np.float32)


def _converted(rows: Rows, factor: float = 0.0) -> Rows:
    """Rows converted now if they are in memory, when they are read if they are not."""
    converted = _Converted(rows, factor)
    in_memory = isinstance(rows, np.ndarray) and not isinstance(rows, np.memmap)
    return converted[np.arange(len(rows))] if in_memory else converted


def _float_levels(path: str, rows: dict[str, Rows]) -> dict[str, Rows]:
    """Images of floats that are levels, maybe divided by 255, as uint8; other rows as they are."""
    first = _first(next(iter(rows.values())))
    if first.ndim != 4 or first.dtype == np.uint8:
        return rows
    for factor, words in ((255.0, "levels from 0 to 255 divided by 255"),
                          (1.0, "levels from 0 to 255")):
        if all(_are_levels(factor * chunk) for x in rows.values() for _, chunk in chunks(x)):
            warn(f"{path}: x holds floats that are {words}; it is used as uint8, and samples and "
                 "densities are of such levels too")
            return {suffix: _converted(split, factor) for suffix, split in rows.items()}
    return rows


def _are_levels(values: np.ndarray) -> bool:
    in_range = values.min() > -_LEVEL_TOLERANCE and values.max() < N_LEVELS - 1 + _LEVEL_TOLERANCE
    return bool(in_range and np.abs(values - np.rint(values)).max() < _LEVEL_TOLERANCE)


def _check_alike(path: str, name: str, rows: Mapping[str, Rows]) -> None:
    """Raises a `UserError` unless all splits' rows have one shape and one kind of values."""
    firsts = {f"{name}{suffix}": _first(split) for suffix, split in rows.items()}
    kinds = {key: (first.shape[1:], first.dtype.name) for key, first in firsts.items()}
    if len(set(kinds.values())) > 1:
        described = ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in kinds.items())
        raise UserError(f"{path}: the rows of the splits differ in shape or type ({described}); "
                        "give all splits the same")


def _first(rows: Rows) -> np.ndarray:
    return np.asarray(rows[np.arange(1)])
