"""Which part of a large table is read where it lies, rather than copied (see `blocks`)."""

import dataclasses

import numpy as np

ALIGNMENT_BYTES = 64  # JAX uses aligned host memory as it is, and copies other memory
PLACE = np.int32  # numbers of rows; more than it counts fit in no memory


@dataclasses.dataclass(frozen=True)
class Shared:
    """The blocks of a table that are not copied."""

    table: np.ndarray  # [L] the table's values from an aligned address on
    offset: int  # where in it the first block begins
    head: int  # rows before that block
    n_blocks: int
    size: int  # rows of a block

    def split(self, n_rows: int) -> tuple[np.ndarray, slice]:
        """The rows of the table that must be copied, by number, and those that need not."""
        read = slice(self.head, self.head + self.n_blocks * self.size)
        written = (np.arange(read.start, dtype=PLACE), np.arange(read.stop, n_rows, dtype=PLACE))
        return np.concatenate(written), read


def nothing_shared(x: np.ndarray) -> Shared:
    """Of a table that is copied as a whole."""
    return Shared(x.reshape(-1)[:0], 0, 0, 0, 0)


def share(x: np.ndarray, size: int) -> Shared:
    """As many blocks of `size` rows as an aligned view of the table [n, D] holds.

    Their number, and the view's length, do not depend on where in memory the table lies, so that
    tables of one shape share one compilation.
    """
    flat, n_features = x.reshape(-1), x.shape[1]
    skip = -x.ctypes.data % ALIGNMENT_BYTES // x.itemsize
    head = -(-skip // n_features)
    # The view leaves room for any alignment before it, and for a part of a row.
    n_blocks = (x.size - ALIGNMENT_BYTES // x.itemsize - n_features) // (size * n_features)
    length = n_blocks * size * n_features + n_features
    if n_blocks < 1 or x.size >= 2**31:  # places in the view are 32-bit numbers
        return nothing_shared(x)
    return Shared(flat[skip : skip + length], head * n_features - skip, head, n_blocks, size)
