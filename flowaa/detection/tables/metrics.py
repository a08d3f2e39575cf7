"""Metrics in which rows are near or far, as maps to spaces with Euclidean distance."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage

from flowaa.detection.tables.units import ranges

Map = Callable[[np.ndarray], np.ndarray]  # rows [m, D] to rows [m, d]


class Metric(Protocol):
    """A map fitted to rows."""

    @property
    def needs_rows_per_feature(self) -> float:
        """Fewer rows than this times D, and the metric fits itself to noise."""

    def fit(self, x: np.ndarray) -> Map:
        """Fits to standardised rows x [n, D]."""


@dataclasses.dataclass(frozen=True)
class Standardised:
    """The features as they are."""

    needs_rows_per_feature: float = 0.0

    def fit(self, x: np.ndarray) -> Map:
        """The identity."""
        return lambda rows: rows


@dataclasses.dataclass(frozen=True)
class RangeScaled:
    """The features in units of their range, which few far values do not set.

    A feature that seldom differs from one value has a small deviation: divided by it, the rows in
    which it does differ are far from all others, though they are as usual as others are.
    A row that helped to set a range is within it: of few rows many do.
    """

    needs_rows_per_feature: float = 20.0

    def fit(self, x: np.ndarray) -> Map:
        """Divides by the ranges; a feature without one is left as it is."""
        found = ranges(x)
        unit = np.where(found > 0, found, 1.0)
        return lambda rows: rows / unit


@dataclasses.dataclass(frozen=True)
class Whitened:
    """Principal components divided by a power of their deviations.

    The covariance is shrunk (Ledoit and Wolf 2004). Power 1 whitens; ½ goes half the way, between
    the standardised features and the Mahalanobis distance.
    """

    power: float = 1.0
    needs_rows_per_feature: float = 20.0

    def fit(self, x: np.ndarray) -> Map:
        """Fits the shrunk covariance, in the space that the rows span if that is smaller.

        Outside that space every direction has the same shrunk variance, and the training rows are
        at the origin: one coordinate, the norm, gives the distances to them.
        """
        mean, d = x.mean(0), x.shape[1]
        shrinkage = float(ledoit_wolf_shrinkage(x)) if min(x.shape) > 1 else 0.0
        _, singular, axes = np.linalg.svd(x - mean, full_matrices=False)
        variances = singular**2 / len(x)
        average = variances.sum() / d
        floor = max(shrinkage * average, 1e-6)
        scale = ((1 - shrinkage) * variances + floor) ** (-self.power / 2)
        rest_scale = floor ** (-self.power / 2)

        def to_space(rows: np.ndarray) -> np.ndarray:
            centred = rows - mean
            inside = centred @ axes.T
            if len(axes) == d:
                return inside * scale
            outside = (centred**2).sum(1) - (inside**2).sum(1)
            rest = np.sqrt(np.maximum(outside, 0))
            return np.column_stack([inside * scale, rest * rest_scale])

        return to_space


@dataclasses.dataclass(frozen=True)
class Direction:
    """Where a row lies as seen from the mean, in half-whitened space, however far off it is.

    Distances grow with the norm of a row, so that far inliers look like outliers; by direction a
    row of unusual proportions is told from one that is large.
    """

    needs_rows_per_feature: float = 20.0

    def fit(self, x: np.ndarray) -> Map:
        """Points of the unit sphere."""
        whitened = Whitened(0.5).fit(x)

        def to_space(rows: np.ndarray) -> np.ndarray:
            space = whitened(rows)
            return space / np.maximum(np.linalg.norm(space, axis=1, keepdims=True), 1e-9)

        return to_space


@dataclasses.dataclass(frozen=True)
class LeadingComponents:
    """Whitened leading principal components, for trees; few features are left as they are.

    Args:
        share: of the variance that is kept.
        most: components at most.
        above: features up to this many are left as they are.
    """

    share: float = 0.95
    most: int = 64
    above: int = 100
    needs_rows_per_feature: float = 20.0

    def fit(self, x: np.ndarray) -> Map:
        """Keeps `share` of the variance, or what `most` components hold."""
        if x.shape[1] <= self.above:
            return lambda rows: rows
        mean = x.mean(0)
        _, singular, axes = np.linalg.svd(x - mean, full_matrices=False)
        kept = np.cumsum(singular**2) / max(float((singular**2).sum()), 1e-300)
        k = min(int(np.searchsorted(kept, self.share)) + 1, self.most, max(1, len(x) // 3))
        deviations = np.maximum(singular[:k] / np.sqrt(len(x)), 1e-9)
        return lambda rows: (rows - mean) @ axes[:k].T / deviations


FEW_FEATURES = LeadingComponents()
