"""Distances to near training rows, and densities made of them."""

import dataclasses

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from flowaa.detection.tables.members import FittedMember, Score, draw_folds, left_out_fit
from flowaa.detection.tables.metrics import Metric

_FOLDS = 10
_BANDWIDTHS = np.geomspace(0.02, 20.0, 15)  # of the kernel's variance, in median squared distances
_JUDGED = 2_000  # rows at most that the width is chosen by
_CHOICE = 8_000_000  # distances at most that it is chosen by
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
        if len(rows) < 3:  # no two rows are left to find a width by
            return FittedMember(np.zeros(len(x)), lambda new: np.zeros(len(new)))
        n_judged = min(_JUDGED, max(1, _CHOICE // len(rows)))
        judged = np.arange(0, len(rows), -(-len(rows) // n_judged))
        squared = pairwise_distances(rows[judged], rows, metric="sqeuclidean")
        squared[np.arange(len(judged)), judged] = np.inf
        unit = np.median(squared.min(1)) + 1e-9
        best, variance = -np.inf, unit
        for candidate in unit * _BANDWIDTHS:
            log_kernel = logsumexp(-squared / (2 * candidate), axis=1)
            log_density = log_kernel - rows.shape[1] / 2 * np.log(candidate)
            mean = float(np.maximum(log_density, np.quantile(log_density, 0.05)).mean())
            if mean > best:
                best, variance = mean, candidate
        return FittedMember(
            _minus_log_kernels(rows, rows, variance, leave_out_own=True),
            lambda new: _minus_log_kernels(to_space(new), rows, variance, leave_out_own=False))


def _minus_log_kernels(
    x: np.ndarray, rows: np.ndarray, variance: float, *, leave_out_own: bool
) -> np.ndarray:
    """−log Σ exp(−‖x − row‖²/2 variance) [m] over rows [n, d], of x [m, d], part by part."""
    parts = []
    step = max(1, _CHUNK // len(rows))
    for start in range(0, len(x), step):
        squared = euclidean_distances(x[start:start + step], rows, squared=True)
        if leave_out_own:  # x are the rows
            index = np.arange(len(squared))
            squared[index, start + index] = np.inf
        # As SciPy's logsumexp, a tenth of its passes over the distances.
        nearest = squared.min(1)
        squared -= nearest[:, None]
        squared /= -2 * variance
        parts.append(nearest / (2 * variance) - np.log(np.exp(squared, out=squared).sum(1)))
    return np.concatenate([np.empty(0), *parts])
