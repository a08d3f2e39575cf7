"""From a table on the host to the blocks a fit runs on: centred, scaled, padded, and a coreset.

All of it is NumPy: it is done once a fit, and in JAX would only add to what must be compiled.
"""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from flowaa.archetypes.classical.blocks import Blocks
from flowaa.archetypes.classical.hull import BUCKETS
from flowaa.archetypes.classical.sharing import ALIGNMENT_BYTES, PLACE, nothing_shared, share

COMPARED_ROWS = 4096  # up to this many rows, starts are compared on all of them
_MIN_BLOCK_BITS, _MAX_BLOCK_BITS = 10, 13  # blocks, and the coreset, have 1024 to 8192 rows
_SHARED_BYTES = 2**26  # larger tables are read where they lie, where a coreset gives the starts
_SLICE_ROWS = 2**12  # converted at a time, so that no second copy of the data is made
_FAR_MEDIANS = 4.0  # resistant: rows further out, in median distances, make no archetype


@dataclasses.dataclass(frozen=True)
class Frame:
    """The affine map between data and blocks: data = centre + scale · block."""

    centre: np.ndarray  # [D] float64
    scale: float

    def write(self, x: np.ndarray, out: np.ndarray) -> None:
        """Writes the rows `x` [n, D] into the first rows of `out`, and zeros into the others."""
        for part in _slices(len(x)):
            out[part] = (x[part] - self.centre) / self.scale
        out[len(x):] = 0.0

    def restore(self, rows: np.ndarray) -> np.ndarray:
        """Rows [..., D] in data units, float64."""
        restored: np.ndarray = self.centre + self.scale * np.asarray(rows, np.float64)
        return restored


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows ready to be fitted: what `Blocks` consists of, and what it stands for."""

    copied: np.ndarray  # [C, B, D]
    table: np.ndarray  # [L]
    offset: int
    weight: np.ndarray  # [N, B]
    eligible: np.ndarray  # [N, B]
    coreset: bool  # whether block 0 is a coreset of the others
    frame: Frame
    origin: np.ndarray  # [N · B] which row of the data lies in each place; −1 for padding
    place: np.ndarray  # [n] where each row of the data lies
    mean_weight: float  # by which the blocks' weights were divided
    mean: np.ndarray  # [D] weighted
    total: float  # weighted sum of squares about the mean, in data units

    def blocks(self) -> Blocks:
        """On JAX's default device; arrays are not copied if that is the CPU."""
        dtype = self.copied.dtype
        return Blocks(*map(jax.device_put, (
            self.copied, self.table, np.int32(self.offset), self.frame.centre.astype(dtype),
            dtype.type(self.frame.scale), self.weight, self.eligible)))


def prepare(
    x: np.ndarray, weight: np.ndarray, *, coreset: bool, trim: float, resistant: bool,
    rng: np.random.Generator, room: int = 0,
) -> Rows:
    """Lays out a table in blocks.

    Args:
        x: [n, D] float32 or float64.
        weight: [n] float64 sample weights, non-negative, some positive.
        coreset: add a coreset if there are more than COMPARED_ROWS rows.
        trim: share of the rows, those furthest from the centre, that archetypes may not use.
        resistant: use medians for centre and scale, and keep archetypes off far-out rows.
        rng: draws the coreset.
        room: make the blocks large enough for so many rows, for a compiled fit to be used again.
    """
    place = np.arange(len(x), dtype=PLACE)
    first = place  # the row of `x` that each row fitted stands for
    if len(x) <= COMPARED_ROWS:
        first, place, weight = _merge_equal_rows(x, weight)
        x = x[first]
    mean = np.sum([weight[part] @ x[part] for part in _slices(len(x))], axis=0) / weight.sum()
    centre, typical, far, squared = _centre_and_scale(x, weight, mean, resistant=resistant)
    total = max(float(weight @ squared) - weight.sum() * float(((mean - centre) ** 2).sum()), 0.0)
    if trim > 0:
        far = min(far, float(np.quantile(squared[weight > 0], 1.0 - trim)))
    # Rounded as on the device, so that rows read there lie where those written here do.
    frame = Frame(centre.astype(x.dtype).astype(np.float64),
                  float(x.dtype.type(np.sqrt(typical / x.shape[1]))) or 1.0)

    # Places: the coreset, rows that are copied, and those read where they are.
    coreset = coreset and len(x) > COMPARED_ROWS
    _, size = block_shape(max(len(x), room))
    shared = share(x, size) if coreset and x.nbytes >= _SHARED_BYTES else nothing_shared(x)
    written, read = shared.split(len(x))
    begin = size if coreset else 0
    n_copied = -(-(begin + max(len(written), room)) // size)
    where = np.empty(len(x), PLACE)
    where[written] = begin + np.arange(len(written), dtype=PLACE)
    where[read] = n_copied * size + np.arange(len(x) - len(written), dtype=PLACE)

    mean_weight = float(weight.sum() / np.count_nonzero(weight))
    shape = (n_copied + shared.n_blocks, size)
    origin = np.full(shape[0] * size, -1, PLACE)
    weights, far_out = np.zeros(len(origin)), np.zeros(len(origin), bool)
    origin[where], weights[where], far_out[where] = first, weight / mean_weight, squared > far
    copied = _aligned_empty((n_copied * size, x.shape[1]), x.dtype)
    frame.write(x[written] if shared.n_blocks else x, copied[begin:])
    if coreset:
        drawn, drawn_weight = draw_coreset(weight, np.minimum(squared, far), size, rng)
        weights[:size] = drawn_weight / mean_weight
        origin[:size], far_out[:size] = first[drawn], squared[drawn] > far
        frame.write(x[drawn], copied[:size])
    return Rows(
        copied=copied.reshape(n_copied, size, -1), table=shared.table, offset=shared.offset,
        weight=weights.astype(x.dtype).reshape(shape),
        eligible=((weights > 0) & ~far_out).reshape(shape), coreset=coreset, frame=frame,
        origin=origin, place=where[place], mean_weight=mean_weight, mean=mean, total=total)


def _centre_and_scale(
    x: np.ndarray, weight: np.ndarray, mean: np.ndarray, *, resistant: bool
) -> tuple[np.ndarray, float, float, np.ndarray]:
    """Centre [D], typical and largest squared distance from it, and those of all rows [n]."""
    sample = slice(None, None, -(-len(x) // COMPARED_ROWS))
    centre = _weighted_median(x[sample], weight[sample]) if resistant else mean
    squared = np.concatenate([((x[part] - centre) ** 2).sum(1) for part in _slices(len(x))])
    if resistant:
        median = float(_weighted_median(squared[sample, None], weight[sample])[0])
        if median > 0:
            return centre, median, _FAR_MEDIANS**2 * median, squared
    return centre, float(weight @ squared / weight.sum()), np.inf, squared


def block_shape(n_rows: int) -> tuple[int, int]:
    """Number and size of the blocks that hold so many rows.

    There is one block up to COMPARED_ROWS rows, of a size rounded up by an eighth on average, so
    that data sets of about the same size share one compiled fit.
    """
    if n_rows > COMPARED_ROWS:
        size = 2 ** int(np.clip(n_rows.bit_length() - 4, _MIN_BLOCK_BITS, _MAX_BLOCK_BITS))
        return -(-n_rows // size), size
    step = max(BUCKETS, 2 ** (n_rows.bit_length() - 3))
    return 1, -(-n_rows // step) * step


def _slices(n_rows: int) -> Iterator[slice]:
    return (slice(i, min(i + _SLICE_ROWS, n_rows)) for i in range(0, n_rows, _SLICE_ROWS))


def _aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(n_bytes + ALIGNMENT_BYTES, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[offset : offset + n_bytes].view(dtype).reshape(shape)


def _merge_equal_rows(
    x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that are equal become one with the sum of their weights, in an order of their own.

    A row of weight two is thus the very same problem as the row given twice, in any order, and
    a row of weight zero comes last, where it changes nothing.

    Returns:
        For each row kept, a row of `x` [m]; for each row of `x`, which one stands for it [n]; and
        the weights [m].
    """
    # One number a row to sort by; equal rows have equal numbers whatever their neighbours.
    key = (x * np.cos(np.arange(1, x.shape[1] + 1))).sum(1)
    order = np.lexsort((key, weight == 0))
    new = np.ones(len(x), bool)
    new[1:] = (x[order[1:]] != x[order[:-1]]).any(1) | np.diff(weight[order] == 0)
    group = np.cumsum(new) - 1
    place = np.empty(len(x), np.int64)
    place[order] = group
    return order[new], place, np.bincount(group, weights=weight[order])


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Median of each column of `values` [n, D], rows counting by their weights."""
    order = np.argsort(values, axis=0)
    below = np.cumsum(weight[order], axis=0)
    middle = (below < 0.5 * below[-1]).sum(0)
    return np.take_along_axis(values, np.take_along_axis(order, middle[None], 0), 0)[0]


def draw_coreset(
    weight: np.ndarray, squared: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and weights that stand for all rows (Mair & Brefeld 2019, Coresets for AA).

    Half of the probability follows the sample weights and half the squared distance from the
    centre, where archetypes are. The draw is systematic, hence without needless repetition.

    Returns:
        Row numbers [size], and weights [size] such that weighted sums are unbiased.
    """
    share, far = weight / weight.sum(), weight * squared
    total = far.sum()
    if total > 0:
        far *= 0.5 / total  # in place: of a large table, every copy counts
        share *= 0.5
        share += far
    points = (np.arange(size) + rng.random()) / size
    drawn = np.minimum(np.searchsorted(np.cumsum(share, out=far), points), len(share) - 1)
    return drawn, weight[drawn] / (size * share[drawn])
