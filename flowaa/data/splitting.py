"""Splits made here, reproducibly, of data that brings none; and the record of them."""

from pathlib import Path

import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.rows import subset
from flowaa.data.seeding import Stream, generator
from flowaa.errors import UserError


def draw_part(n_rows: int, fraction: float, *, seed: int, stream: Stream,
              labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Divides row indices in two, at random and with the classes in proportion.

    Rows are shuffled, grouped by class, and taken at even distances: systematic sampling, in which
    a class of any size gives its share to within one row.

    Args:
        n_rows: rows to divide.
        fraction: share of the second part, strictly between 0 and 1; it gets one row at least.
        seed: the experiment's seed.
        stream: what the split is for.
        labels: [n_rows] classes, or None.

    Returns:
        Indices of the rest and of the part, each ascending; together every row once.

    Raises:
        UserError: if the fraction is out of range or a part would be empty.
    """
    key = "test_fraction" if stream is Stream.TEST_SPLIT else "validation_fraction"
    if not 0.0 < fraction < 1.0:
        raise UserError(f"data.{key} is {fraction}; set it between 0 and 1, e.g. "
                        f"--config.data.{key}=0.1")
    n_part = max(1, round(fraction * n_rows))
    if n_part >= n_rows:
        raise UserError(f"{n_rows} rows are too few to split with data.{key}={fraction}; "
                        "bring more rows or lower the fraction")
    random = generator(seed, stream)
    order = random.permutation(n_rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    positions = np.floor((np.arange(n_part) + random.random()) * (n_rows / n_part)).astype(int)
    in_part = np.zeros(n_rows, bool)
    in_part[order[np.minimum(positions, n_rows - 1)]] = True
    return np.flatnonzero(~in_part), np.flatnonzero(in_part)


def take(split: Split, indices: np.ndarray) -> Split:
    """The rows of a split at `indices`, which remembers where they came from."""
    source = indices if split.source_rows is None else split.source_rows[indices]
    y, side, context = (None if column is None else column[indices]
                        for column in (split.y, split.side, split.context))
    return Split(subset(split.x, indices), y, source, side, context)


def hold_out_test(rows: Split, *, test_fraction: float, seed: int) -> tuple[Split, Split]:
    """The rest and a test split."""
    rest, part = draw_part(len(rows), test_fraction, seed=seed, stream=Stream.TEST_SPLIT,
                           labels=rows.y)
    return take(rows, rest), take(rows, part)


def hold_out_validation(rows: Split, *, validation_fraction: float,
                        seed: int) -> tuple[Split, Split]:
    """The rest, to train on, and a validation split."""
    rest, part = draw_part(len(rows), validation_fraction, seed=seed,
                           stream=Stream.VALIDATION_SPLIT, labels=rows.y)
    return take(rows, rest), take(rows, part)


def save_record(dataset: Dataset, path: Path) -> bool:
    """Writes which of the user's rows went to which split, as `.npz` of `train`, `validation`, ….

    Returns:
        Whether there was a split to record; data that brings its own splits has none.
    """
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    record = {name: split.source_rows for name, split in splits.items()
              if split.source_rows is not None}
    if record:
        np.savez_compressed(path, allow_pickle=False, **record)
    return bool(record)
