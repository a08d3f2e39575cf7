"""Reading rows that may not fit in memory, a chunk at a time."""

from collections.abc import Iterator

import numpy as np

from flowaa.data.dataset import Rows

CHUNK_ROWS = 4096


def chunks(rows: Rows) -> Iterator[tuple[int, np.ndarray]]:
    """All rows in order, as the index of a chunk's first row and the chunk [≤ CHUNK_ROWS, ...]."""
    for start in range(0, len(rows), CHUNK_ROWS):
        yield start, np.asarray(rows[np.arange(start, min(start + CHUNK_ROWS, len(rows)))])
