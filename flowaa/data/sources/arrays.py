"""The user's own arrays: `.npz` or `.npy`, images or rows of features."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flowaa.data.dataset import Dataset, Rows, Split
from flowaa.data.description import describe
from flowaa.data.files.checks import check_classes, check_context, check_finite, check_labels
from flowaa.data.files.npz import read_arrays
from flowaa.data.splitting import complete
from flowaa.errors import UserError

N_LEVELS = 256  # of uint8 data
_KEYS_EXPECTED = ("keep x (and y, context), or x_train and x_test (and x_validation), and for each "
                  "of them y_… (and context_…)")


def arrays(*, path: str, seed: int, validation_fraction: float, test_fraction: float) -> Dataset:
    """Rows and labels of a NumPy file.

    The file holds either `x` and maybe `y`, of which validation and test rows are held out here, or
    `x_train`, `x_test` and maybe `x_validation`, and for all of them labels `y_…` or none. For each
    `x…` there may be `context…`, [N, E] or [N] numbers that a conditional density is given. uint8
    (or other integers from 0 to 255) are discrete data of 256 levels; floats are continuous. Images
    are [N, H, W, C] or [N, H, W], which gets one channel; rows of features are [N, D]. Arrays of
    more than 256 MiB are memory-mapped if they are stored uncompressed.

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
        raise UserError("no file is named; set --config.data.path=FILE.npz")
    found = read_arrays(Path(path).expanduser())
    suffixes = _check_keys(path, set(found))
    rows = {suffix: _rows(found[f"x{suffix}"], f"{path}: x{suffix}") for suffix in suffixes}
    _check_alike(path, "x", rows)
    labels = {f"{path}: y{suffix}": check_labels(found[f"y{suffix}"], len(rows[suffix]),
                                                 f"{path}: y{suffix}")
              for suffix in suffixes if f"y{suffix}" in found}
    n_classes = check_classes(labels) if labels else 0

    contexts = {suffix: check_context(found[f"context{suffix}"], len(rows[suffix]),
                                      f"{path}: context{suffix}")
                for suffix in suffixes if f"context{suffix}" in found}
    _check_alike(path, "context", contexts)
    splits = {suffix: Split(rows[suffix], labels.get(f"{path}: y{suffix}"),
                            context=contexts.get(suffix)) for suffix in suffixes}
    given = {suffix.removeprefix("_") or "train": split for suffix, split in splits.items()}
    train, validation, test = complete(given, seed=seed, test_fraction=test_fraction,
                                       validation_fraction=validation_fraction)
    discrete = _is_discrete(rows[suffixes[0]])
    spec = describe(train, n_levels=N_LEVELS if discrete else 0, n_classes=n_classes,
                    class_names=tuple(str(index) for index in range(n_classes)))
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
    if not 2 <= array.ndim <= 4:
        raise UserError(f"{where} has shape {array.shape}; give images [N, H, W, C] or [N, H, W], "
                        "or rows of features [N, D]")
    if 0 in array.shape:
        raise UserError(f"{where} has shape {array.shape}, which holds no values; bring some rows")
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] > 4:
        raise UserError(f"{where} has shape {array.shape}, with the channels first; give images "
                        "[N, H, W, C], e.g. x.transpose(0, 2, 3, 1)")
    if array.ndim == 3:
        array = array[..., None]
    if array.dtype.kind in "iu":
        if array.dtype != np.uint8:
            if array.min() < 0 or array.max() >= N_LEVELS:
                raise UserError(f"{where} holds integers beyond 0 … {N_LEVELS - 1}; give levels as "
                                "uint8, or continuous data as float32")
            array = array.astype(np.uint8)
        return array
    if array.dtype.kind != "f":
        raise UserError(f"{where} has type {array.dtype}; give levels as uint8, or continuous data "
                        "as float32")
    rows: Rows = array
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):  # an overflow is found right below
            rows = _Cast(array) if isinstance(array, np.memmap) else array.astype(np.float32)
    check_finite(rows, where)
    return rows


class _Cast:
    """Memory-mapped rows that become float32 when they are read."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(self._rows[indices]).astype(np.float32)


def _is_discrete(rows: Rows) -> bool:
    return np.asarray(rows[np.arange(1)]).dtype == np.uint8


def _check_alike(path: str, name: str, rows: Mapping[str, Rows]) -> None:
    """Raises a `UserError` unless all splits' rows have one shape and one kind of values."""
    kinds = {}
    for suffix, split in rows.items():
        first = np.asarray(split[np.arange(1)])
        kinds[f"{name}{suffix}"] = (first.shape[1:], first.dtype.name)
    if len(set(kinds.values())) > 1:
        described = ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in kinds.items())
        raise UserError(f"{path}: the rows of the splits differ in shape or type ({described}); "
                        "give all splits the same")
