"""The description of a data set, computed from its training rows."""

from collections.abc import Sequence

import numpy as np

from flowaa.data.dataset import DataSpec, Rows, Split
from flowaa.data.rows import chunks


def describe(train: Split, *, n_levels: int, class_names: Sequence[str] = (),
             side_names: Sequence[str] = ()) -> DataSpec:
    """Computes the description of a data set from its training split.

    Args:
        train: the training split.
        n_levels: 0 for continuous data.
        class_names: one a class; none for unlabelled data.
        side_names: one a column of side information, or none.
    """
    mean, std = moments(train.x)
    empty = np.empty(0)
    context_mean, context_std = (empty, empty) if train.context is None else moments(train.context)
    shape = np.asarray(train.x[np.arange(1)]).shape[1:]
    return DataSpec(shape=tuple(int(side) for side in shape), n_levels=n_levels,
                    n_classes=len(class_names), mean=tuple(mean.tolist()), std=tuple(std.tolist()),
                    class_names=tuple(class_names), side_names=tuple(side_names),
                    context_mean=tuple(context_mean.tolist()),
                    context_std=tuple(context_std.tolist()))


def moments(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over all axes but the last, read in chunks.

    The chunks' moments are merged by the pairwise update of Chan, Golub and LeVeque (1983), which
    keeps its digits where the mean is far larger than the spread.

    Args:
        rows: [N, ..., C], N ≥ 1.

    Returns:
        mean [C] and population standard deviation [C], float64; the latter 1 where C is constant.
    """
    count = 0
    for _, chunk in chunks(rows):
        values = chunk.reshape(-1, chunk.shape[-1]).astype(np.float64)
        chunk_mean = values.mean(0)
        chunk_squares = np.square(values - chunk_mean).sum(0)
        if count == 0:
            first = values[0]
            mean, squares = np.zeros_like(first), np.zeros_like(first)
            varies = np.zeros(first.shape, bool)
        difference = chunk_mean - mean
        total = count + len(values)
        mean = mean + difference * (len(values) / total)
        squares = squares + chunk_squares + np.square(difference) * (count * len(values) / total)
        # Asked of the values: rounding leaves a constant channel with a tiny variance.
        varies |= (values != first).any(0)
        count = total
    return mean, np.where(varies, np.sqrt(squares / count), 1.0)
