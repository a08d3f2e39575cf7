"""The rows that archetypes are fitted to: centred and scaled, each with a weight.

Everything after this file counts in units in which rows have mean square one per feature, in
float64, so that no step depends on the data's units. A large table is not copied: its blocks are
converted when they are read.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

BLOCK_ROWS = 4096  # read at a time; tables up to this size are kept converted, equal rows merged
_FAR_MEDIANS = 4.0  # resistant: rows further out, in median distances, make no archetype


@dataclasses.dataclass(frozen=True)
class Frame:
    """The affine map between data and units of the fit: data = unit · (centre + scale · row)."""

    unit: float  # a power of two, by which multiplying is exact; keeps squares from overflowing
    centre: np.ndarray  # [D]
    scale: float

    def to_rows(self, x: np.ndarray) -> np.ndarray:
        """Rows [n, D] of data [n, D]."""
        rows = x * np.float64(1.0 / self.unit)
        rows -= self.centre
        rows /= self.scale
        return rows

    def to_data(self, rows: np.ndarray) -> np.ndarray:
        """Data [..., D] of rows [..., D]."""
        return np.asarray(self.unit * (self.centre + self.scale * rows))

    def sum_of_squares(self, of_rows: float) -> float:
        """A sum of squares in data units; infinite where float64 does not reach."""
        with np.errstate(over="ignore"):
            return float(np.float64(of_rows) * self.scale**2 * self.unit * self.unit)


@dataclasses.dataclass(frozen=True)
class Rows:
    """n rows, read block by block."""

    x: np.ndarray  # [n, D] in data units
    frame: Frame
    weight: np.ndarray  # [n] positive, mean 1
    mean_weight: float  # by which the sample weights were divided
    eligible: np.ndarray  # [n] bool: whether an archetype may contain the row
    source: np.ndarray | None  # [n] the row of the user's table; None: the same row
    converted: np.ndarray | None  # [n, D] all rows, if they fit into one block
    mean: np.ndarray  # [D] weighted, of `x`
    total: float  # weighted sum of squares about the mean, weights having mean 1
    reach: float = 1.0  # archetypes are mixtures of rows this many times as far from the centre

    def __len__(self) -> int:
        return len(self.x)

    def slices(self) -> Iterator[slice]:
        """The blocks, in order."""
        return (slice(i, min(i + BLOCK_ROWS, len(self.x)))
                for i in range(0, len(self.x), BLOCK_ROWS))

    def block(self, rows: slice) -> np.ndarray:
        """Rows [B, D] of a block."""
        return self.frame.to_rows(self.x[rows]) if self.converted is None else self.converted[rows]

    def at(self, index: np.ndarray) -> np.ndarray:
        """Rows [..., D] at `index` [...]."""
        if self.converted is not None:
            return self.converted[index]
        return self.frame.to_rows(self.x[index.ravel()]).reshape(*index.shape, -1)

    def corners(self, index: np.ndarray) -> np.ndarray:
        """What archetypes are mixtures of [..., D], for rows at `index` [...]."""
        return self.at(index) if self.reach == 1.0 else self.reach * self.at(index)

    def only(self, index: np.ndarray, weight: np.ndarray) -> "Rows":
        """Some rows, with weights of their own, in the same units."""
        return dataclasses.replace(
            self, x=self.x[index], weight=weight, eligible=self.eligible[index],
            source=index if self.source is None else self.source[index],
            converted=self.at(index))


def prepare(x: np.ndarray, weight: np.ndarray, *, trim: float, resistant: bool,
            reach: float = 1.0) -> Rows:
    """Centres and scales a table.

    Rows of weight zero are left out. In a table of up to BLOCK_ROWS rows, equal rows become one
    with the sum of their weights, in sorted order: a row of weight two is then the same problem as
    the row given twice, in any order.

    Args:
        x: [n, D] finite, float32 or float64.
        weight: [n] non-negative, some positive.
        trim: share of the rows, those furthest from the centre, that archetypes may not contain.
        resistant: use medians for centre and scale, and keep archetypes off far-out rows.
        reach: by how much the rows' hull is enlarged about the centre for archetypes.
    """
    source = None
    if not weight.all():
        source = np.flatnonzero(weight)
        x, weight = x[source], weight[source]
    if len(x) <= BLOCK_ROWS:
        x, first, group = np.unique(x, axis=0, return_index=True, return_inverse=True)
        weight = np.bincount(group.ravel(), weights=weight)
        source = first if source is None else source[first]
    mean_weight = float(weight.mean())
    weight = weight / mean_weight
    largest = float(max(x.max(), -x.min()))
    unit = float(2.0 ** np.clip(np.frexp(largest)[1], -1000, 1000))
    plain = Rows(x, Frame(unit, np.zeros(x.shape[1]), 1.0), weight, mean_weight,
                 np.ones(len(x), bool), source, None, np.zeros(x.shape[1]), 0.0)
    mean = np.sum([weight[part] @ plain.block(part) for part in plain.slices()], axis=0) / len(x)
    sample = np.arange(0, len(x), -(-len(x) // BLOCK_ROWS))
    centre = _weighted_median(plain.at(sample), weight[sample]) if resistant else mean
    centred = dataclasses.replace(plain, frame=Frame(unit, centre, 1.0))
    squared = np.concatenate([(centred.block(part) ** 2).sum(1) for part in plain.slices()])
    typical, far = float(weight @ squared) / len(x), np.inf
    if resistant:
        median = float(_weighted_median(squared[sample, None], weight[sample])[0])
        if median > 0:
            typical, far = median, _FAR_MEDIANS**2 * median
    if trim > 0:
        far = min(far, float(np.quantile(squared, 1.0 - trim)))
    scale = float(np.sqrt(typical / x.shape[1])) or 1.0
    frame = Frame(unit, centre, scale)
    total = max(float(weight @ squared) - len(x) * float(((mean - centre) ** 2).sum()), 0.0)
    return dataclasses.replace(
        centred, frame=frame, eligible=squared <= far, mean=unit * mean, total=total / scale**2,
        converted=frame.to_rows(x) if len(x) <= BLOCK_ROWS else None, reach=reach)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Median of each column of `values` [n, D], rows counting by their weights."""
    order = np.argsort(values, axis=0)
    below = np.cumsum(weight[order], axis=0)
    middle = (below < 0.5 * below[-1]).sum(0)
    return np.take_along_axis(values, np.take_along_axis(order, middle[None], 0), 0)[0]
