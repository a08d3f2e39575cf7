"""Values that many rows share: they are no draws of a smooth law, and are learned as what they are.

A value that holds a part of a column's rows, as zero does in counts or each level in pictures, is
an *atom*: it is spread evenly over a narrow interval, a twentieth of the gap to the next atom to
either side and no more than a fiftieth of the column's deviation, so that the density there is its
probability over the interval's width. Other ties are rounding, and are spread by normal noise as
wide as the usual gap.

A density of real numbers at an atom is as high as the interval is narrow: log-likelihoods of rows
with atoms can be compared within one model, and between models only where these spread alike.
"""

import dataclasses

import numpy as np

_LEAST_SHARE = 0.01  # of a column's rows that an atom holds
_LEAST_ROWS = 10  # that an atom holds: a share told by fewer is mostly chance
_ATOM_HALF_WIDTH = 0.05  # of the gap to the nearest other atom
_MOST_HALF_WIDTH = 0.02  # in deviations of the column
_SAME = 1e-9  # deviations; values no further apart differ by rounding
_FEW_VALUES = 0.6  # a column with a smaller share of distinct values than this has ties
_TIE_NOISE = 0.4  # deviation of the noise that spreads rounded values, in units of their usual gap
_MOST_NOISE = 0.5  # in deviations of the column


@dataclasses.dataclass(frozen=True)
class Ties:
    """Atoms and rounding of D standardised columns.

    Attributes:
        atoms: of each column the values of its atoms, increasing.
        half_widths: of each column how far its atoms reach to either side.
        noise: [D] standard deviation of the noise that spreads other values; 0 where few are tied.
    """

    atoms: tuple[np.ndarray, ...]
    half_widths: tuple[np.ndarray, ...]
    noise: np.ndarray

    def spread(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows x [n, D] with ties spread at random."""
        spread = x + self.noise * rng.standard_normal(x.shape)
        for column, (atoms, half_widths) in enumerate(
                zip(self.atoms, self.half_widths, strict=True)):
            if len(atoms):
                nearest = _nearest(atoms, x[:, column])
                is_atom = np.abs(x[:, column] - atoms[nearest]) <= half_widths[nearest] + _SAME
                offset = half_widths[nearest] * rng.uniform(-1, 1, len(x))
                spread[:, column] = np.where(
                    is_atom, atoms[nearest] + offset, spread[:, column])
        return spread


def fit_ties(x: np.ndarray) -> Ties:
    """The ties of standardised rows x [n, D].

    >>> import numpy as np
    >>> counts = np.repeat([0.0, 1.0, 2.0, 5.0], [60, 30, 9, 1])
    >>> fit_ties(counts[:, None]).atoms[0]
    array([0., 1.])
    """
    columns = [_ties(column) for column in x.T]
    return Ties(tuple(atoms for atoms, _, _ in columns), tuple(widths for _, widths, _ in columns),
                np.array([noise for _, _, noise in columns]))


def _ties(column: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """A column's atoms, their half widths, and the noise of its other values."""
    values, counts = np.unique(column, return_counts=True)
    first = np.flatnonzero(np.diff(values, prepend=-np.inf) > _SAME)  # of values that are one level
    values, counts = values[first], np.add.reduceat(counts, first)
    atoms = values[are_atoms(counts, len(column))] if len(values) > 1 else values[:0]
    gaps = np.diff(atoms, prepend=-np.inf, append=np.inf)
    half_widths = np.minimum(
        _ATOM_HALF_WIDTH * np.minimum(gaps[:-1], gaps[1:]), _MOST_HALF_WIDTH)
    noise = 0.0
    if 1 < len(values) < _FEW_VALUES * len(column):
        noise = float(min(_TIE_NOISE * np.median(np.diff(values)), _MOST_NOISE))
    return atoms, half_widths, noise


def are_atoms(counts: np.ndarray, n: int) -> np.ndarray:
    """Which values that so many of n rows share are atoms."""
    return counts >= max(_LEAST_ROWS, _LEAST_SHARE * n)


def _nearest(sorted_values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Indices [n] of the value nearest to each of x [n]."""
    above = np.clip(np.searchsorted(sorted_values, x), 0, len(sorted_values) - 1)
    below = np.maximum(above - 1, 0)
    return np.where(np.abs(x - sorted_values[below]) < np.abs(x - sorted_values[above]),
                    below, above)
