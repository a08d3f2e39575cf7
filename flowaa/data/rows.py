"""Reading rows that may not fit in memory: in chunks, as a subset, or all at once."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from flowaa.data.dataset import Rows

CHUNK_ROWS = 4096
MEMORY_BYTES = 2**30  # larger sets are decoded anew each time that they are read


def chunks(rows: Rows) -> Iterator[tuple[int, np.ndarray]]:
    """All rows in order, as the index of a chunk's first row and the chunk [≤ CHUNK_ROWS, ...]."""
    for start in range(0, len(rows), CHUNK_ROWS):
        yield start, np.asarray(rows[np.arange(start, min(start + CHUNK_ROWS, len(rows)))])


def n_bytes(rows: Rows) -> int:
    """Size of all rows once they are read."""
    return len(rows) * np.asarray(rows[np.arange(1)]).nbytes


def read_all(rows: Rows) -> np.ndarray:
    """All rows as one array in memory."""
    return rows if isinstance(rows, np.ndarray) else np.asarray(rows[np.arange(len(rows))])


def subset(rows: Rows, indices: np.ndarray) -> Rows:
    """The rows at `indices`: copied if they are in memory, looked up when read if they are not."""
    if isinstance(rows, np.ndarray) and not isinstance(rows, np.memmap):
        return rows[indices]
    return _Subset(rows, indices)


class _Subset:
    """Some rows of a larger store."""

    def __init__(self, rows: Rows, indices: np.ndarray) -> None:
        self._rows = rows
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        return self._rows[self._indices[indices]]


def into_memory(rows: Rows, description: str) -> Rows:
    """All rows as one array, read under a progress bar; `rows` itself above `MEMORY_BYTES`."""
    if n_bytes(rows) > MEMORY_BYTES:
        return rows
    first = np.asarray(rows[np.arange(1)])
    x = np.empty((len(rows), *first.shape[1:]), first.dtype)
    with tqdm(total=len(rows), desc=description, unit="image", leave=False, delay=1.0,
              disable=None) as progress:
        for start, chunk in chunks(rows):
            x[start:start + len(chunk)] = chunk
            progress.update(len(chunk))
    return x
