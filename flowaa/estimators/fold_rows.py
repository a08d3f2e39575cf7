"""Which rows of a table train and which judge, and how often each counts."""

import numpy as np

_MOST_ROWS_IN_FOLDS = 10_000
_N_FOLDS = 5
_DISTINCT = 0.9  # share of values of a column from which equal rows are no chance
_LEAST_DISTINCT = 20  # rows
_LEAST_SPREAD = 1e-6  # deviations; a column that varies less is constant


def split_into_folds(
    n: int, validation_fraction: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Disjoint sets of rows, together all of a small table, or one set of a large one."""
    order = rng.permutation(n)
    if n > _MOST_ROWS_IN_FOLDS:
        n_held_out = min(int(validation_fraction * n), 20_000)
        return [np.sort(order[:max(n_held_out, 1)])]
    n_folds = min(_N_FOLDS, n)
    return [np.sort(order[index::n_folds]) for index in range(n_folds)]


def in_proportion(weight: np.ndarray, n: int) -> np.ndarray:
    """n row indices in proportion to weights, all of them once where weights are equal."""
    total = np.cumsum(weight)
    return np.searchsorted(total / total[-1], (np.arange(n) + 0.5) / n)


def counted(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows [m, D], each as often as its weight says."""
    return varying(x[in_proportion(weight, len(x))])


def varying(x: np.ndarray) -> np.ndarray:
    """Rows [n, D] as they are, or twice, so that no column is constant.

    The two copies lie half a deviation of the whole table to either side in columns that are
    constant here, as they may be in the rows outside a fold, or where few rows have all the weight.
    """
    offset = np.where(x.std(0) > _LEAST_SPREAD, 0.0, 0.5)
    return np.concatenate([x - offset, x + offset]) if offset.any() else x


def first_of_copies(x: np.ndarray) -> np.ndarray:
    """Indices of rows [n, D] without the copies of others, increasing.

    Equal rows are copies where some column hardly ever repeats a value otherwise, so that they
    cannot be equal by chance; in a table of counts or categories they may be, and all stay.
    """
    _, first = np.unique(x, axis=0, return_index=True)
    most_distinct = max(len(np.unique(column)) for column in x[first].T)
    are_copies = len(first) >= _LEAST_DISTINCT and most_distinct > _DISTINCT * len(first)
    return np.sort(first) if are_copies else np.arange(len(x))
