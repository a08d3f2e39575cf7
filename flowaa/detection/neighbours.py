"""Distances to near training rows, and densities made of them."""

import dataclasses

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from flowaa.detection.members import FittedMember, Score, draw_folds, left_out_fit
from flowaa.detection.metrics import Metric

_FOLDS = 10
_BANDWIDTHS = np.geomspace(0.02, 20.0, 15)  # of the kernel's variance, in median squared distances
_CHUNK = 2_000_000  # distances held at a time


@dataclasses.dataclass(frozen=True)
class NearestNeighbour:
    """The distance to the k-th nearest training row, in a metric.

    Training rows are scored by the other rows. Where the metric could fit itself to the rows (fewer
    than `needs_rows_per_feature` a feature), it is fitted without the rows that it judges.
    """

    metric: Metric
    k: int = 1
    norm: int = 2  # of the differences: 1 sums their absolute values

    def fit(self, x: np.ndarray, random: np.random.Generator) -> FittedMember:
        """Fits to standardised rows x [n, D]."""
        if len(x) < self.metric.needs_rows_per_feature * x.shape[1]:
            return left_out_fit(x, self._score_of, draw_folds(len(x), _FOLDS, random))
        k = min(self.k, len(x) - 1)
        rows = self.metric.fit(x)(x)
        own = NearestNeighbors(n_neighbors=k, p=self.norm).fit(rows).kneighbors()[0][:, -1]
        return FittedMember(own, self._score_of(x))

    def _score_of(self, x: np.ndarray) -> Score:
        to_space = self.metric.fit(x)
        nearest = NearestNeighbors(n_neighbors=min(self.k, len(x)), p=self.norm).fit(to_space(x))
        return lambda rows: nearest.kneighbors(to_space(rows))[0][:, -1]


@dataclasses.dataclass(frozen=True)
class KernelDensity:
    """Minus the log density of a Gaussian kernel, its width by leave-one-out likelihood.

    The mean is over training rows whose likelihood is not among the lowest twentieth, which would
    otherwise set the width alone.
    """

    metric: Metric

    def fit(self, x: np.ndarray, random: np.random.Generator) -> FittedMember:
        """Fits to standardised rows x [n, D]."""
        if len(x) < self.metric.needs_rows_per_feature * x.shape[1]:
            return left_out_fit(x, lambda rows: self._fit_all(rows).score,
                                draw_folds(len(x), _FOLDS, random))
        return self._fit_all(x)

    def _fit_all(self, x: np.ndarray) -> FittedMember:
        to_space = self.metric.fit(x)
        rows = to_space(x)
        squared = pairwise_distances(rows, metric="sqeuclidean")
        np.fill_diagonal(squared, np.inf)
        if len(rows) < 3:  # no two rows are left to find a width by
            return FittedMember(np.zeros(len(x)), lambda new: np.zeros(len(new)))
        d = rows.shape[1]
        unit = np.median(squared.min(1)) + 1e-9
        judged = slice(None, None, -(-len(rows) // 2_000))  # the width needs no more rows
        best, variance = -np.inf, unit
        for candidate in unit * _BANDWIDTHS:
            log_kernel = logsumexp(-squared[judged] / (2 * candidate), axis=1)
            log_density = log_kernel - d / 2 * np.log(candidate)
            mean = float(np.maximum(log_density, np.quantile(log_density, 0.05)).mean())
            if mean > best:
                best, variance = mean, candidate
        own = -logsumexp(-squared / (2 * variance), axis=1)

        def score(new: np.ndarray) -> np.ndarray:
            if not len(new):
                return np.empty(0)
            parts = np.array_split(to_space(new), -(-len(new) * len(rows) // _CHUNK))
            return np.concatenate([
                -logsumexp(-pairwise_distances(part, rows, metric="sqeuclidean") / (2 * variance),
                           axis=1) for part in parts])

        return FittedMember(own, score)
