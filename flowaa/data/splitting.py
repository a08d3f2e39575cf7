"""Splits: those that the data brings, the others held out reproducibly; and the record of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.rows import subset
from flowaa.data.seeding import Stream, generator
from flowaa.errors import UserError

_STREAMS = {"test": Stream.TEST_SPLIT, "validation": Stream.VALIDATION_SPLIT}


def complete(
    given: Mapping[str, Split], *, seed: int, test_fraction: float, validation_fraction: float
) -> tuple[Split, Split, Split]:
    """Training, validation and test split; those not given are held out from `train`, in turn.

    Args:
        given: splits under `train` and maybe `validation` and `test`.
        seed: the experiment's seed.
        test_fraction: share of `train` that becomes the test split, unless there is one.
        validation_fraction: share of the rest that becomes the validation split, likewise.

    Raises:
        UserError: if a fraction is out of range or the rows are too few.
    """
    train, fractions = given["train"], {"test": test_fraction, "validation": validation_fraction}
    parts = dict(given)
    for name, fraction in fractions.items():
        if name not in parts:
            rest, part = draw_part(len(train), fraction, seed=seed, stream=_STREAMS[name],
                                   labels=train.y)
            train, parts[name] = take(train, rest), take(train, part)
    return train, parts["validation"], parts["test"]


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
    key = _check_fraction(fraction, stream)
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


def _check_fraction(fraction: float, stream: Stream) -> str:
    """The key of the fraction, which must lie strictly between 0 and 1."""
    key = "test_fraction" if stream is Stream.TEST_SPLIT else "validation_fraction"
    if not 0.0 < fraction < 1.0:
        raise UserError(f"data.{key} is {fraction}; set it between 0 and 1, e.g. "
                        f"config.data.{key}=0.1")
    return key


def check_n_rows(n_rows: int, *, smallest: int = 3) -> None:
    """Raises a `UserError` if a set to be drawn is too small; three rows are one a split."""
    if n_rows < smallest:
        raise UserError(f"data.n_rows is {n_rows}; set config.data.n_rows to {smallest} or more")


def take(split: Split, indices: np.ndarray) -> Split:
    """The rows of a split at `indices`, which remembers where they came from."""
    source = indices if split.source_rows is None else split.source_rows[indices]
    y, side, context = (None if column is None else column[indices]
                        for column in (split.y, split.side, split.context))
    return Split(subset(split.x, indices), y, source, side, context)


def frame_ranges(
    groups: np.ndarray, frames: np.ndarray, *, seed: int, test_fraction: float,
    validation_fraction: float, gap: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divides frames of animations, so that no neighbours lie in different splits.

    In each animation the frames of the validation and of the test split are ranges at its two
    ends, which of them at which end is drawn; the training split is the range between them, less
    frames within `gap` of theirs. An animation of few frames has a smaller gap: at most a quarter
    of the range between the two is lost at each end.

    Args:
        groups: [n] int, the animation of each frame.
        frames: [n] int, numbers of the frames within their animation.
        seed: the experiment's seed.
        test_fraction: share of each animation's frames.
        validation_fraction: share of the frames that are not for the test.
        gap: largest difference of frame numbers that two splits must exceed.

    Returns:
        Rows of the training, validation and test split, each ascending.

    Raises:
        UserError: if a fraction is out of range or a split would be empty.
    """
    for stream, fraction in ((Stream.TEST_SPLIT, test_fraction),
                             (Stream.VALIDATION_SPLIT, validation_fraction)):
        _check_fraction(fraction, stream)
    random = generator(seed, Stream.TEST_SPLIT)
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.argsort(frames[rows], kind="stable")]
        n_test = round(test_fraction * len(rows))
        n_validation = round(validation_fraction * (len(rows) - n_test))
        if random.random() < 0.5:
            test, middle, validation = np.split(rows, [n_test, len(rows) - n_validation])
        else:
            validation, middle, test = np.split(rows, [n_validation, len(rows) - n_test])
        parts["validation"].append(validation)
        parts["test"].append(test)
        if len(middle):
            number = frames[middle]
            held_out = frames[np.concatenate([validation, test])]
            allowed = min(gap, len(middle) // 4)
            near = (np.abs(number[:, None] - held_out) <= allowed).any(1)
            parts["train"].append(middle[~near])
    train, validation, test = (
        np.sort(np.concatenate([np.empty(0, int), *rows])) for rows in parts.values())
    if not (len(train) and len(validation) and len(test)):
        raise UserError(f"{len(frames)} frames are too few to split with data.test_fraction="
                        f"{test_fraction} and data.validation_fraction={validation_fraction}; "
                        "bring more pictures")
    return train, validation, test


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
