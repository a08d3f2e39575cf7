"""Any number of rows, in batches of one shape, so that one compiled program serves them all."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

_LARGEST = 256  # rows of a batch …
_VALUES = 2**18  # … or fewer, where so many rows have more values than this


def batch_size(n_dims: int) -> int:
    """Rows of a batch of examples with D dimensions: a power of two, at least 8."""
    return int(np.clip(2 ** int(np.log2(max(_VALUES // n_dims, 1))), 8, _LARGEST))


class Batched:
    """A pure function f(*shared, *rows), which treats each row alone, called in batches.

    `rows` are arrays [n, ...] or None. The last batch is filled up with zeros, and the results of
    these are cut off. Results are on the device.
    """

    def __init__(self, function: Callable[..., Any], size: int) -> None:
        """`size` is the number of rows of a batch."""
        self._function = jax.jit(function)
        self._size = size

    def __call__(self, *shared: Any, rows: tuple[Any, ...]) -> Any:
        """The function's results [n, ...] of rows [n, ...]."""
        if any(isinstance(column, jax.core.Tracer) for column in rows):
            return self._function(*shared, *rows)  # within a function that is compiled as a whole
        n, size = len(rows[0]), self._size
        # In NumPy: JAX would compile slices and conversions for every n.
        columns = [None if column is None else np.asarray(column) for column in rows]
        results = []
        for start in range(0, max(n, 1), size):
            batch = tuple(None if column is None else _filled(column[start:start + size], size)
                          for column in columns)
            n_real = min(n - start, size)
            results.append(jax.tree.map(
                lambda array, n_real=n_real: np.asarray(array)[:n_real],
                self._function(*shared, *batch)))
        return jax.tree.map(lambda *parts: jax.device_put(np.concatenate(parts)), *results)


def _filled(column: np.ndarray, size: int) -> np.ndarray:
    fill = np.zeros((size - len(column), *column.shape[1:]), column.dtype)
    return np.concatenate([column, fill]) if len(fill) else column
