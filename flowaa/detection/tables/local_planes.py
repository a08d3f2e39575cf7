"""Distances to the plane, or the sheet, that near training rows lie on."""

import dataclasses

import numpy as np
from sklearn.neighbors import NearestNeighbors

from flowaa.detection.tables.members import FittedMember, Score, draw_folds, left_out_fit
from flowaa.detection.tables.metrics import FEW_FEATURES, Metric

_CHUNK = 256
_FOLDS = 10


@dataclasses.dataclass(frozen=True)
class LocalPlane:
    """Log Mahalanobis distance to the k nearest training rows, their covariance shrunk.

    Near rows that lie on a plane have a small variance across it, so that a row beside it is far
    though its neighbours are close.
    """

    k: int = 20
    shrinkage: float = 0.1  # of the mean variance, added to all directions
    view: Metric = FEW_FEATURES

    def fit(self, x: np.ndarray, random: np.random.Generator) -> FittedMember:
        """Fits to standardised rows x [n, D]; of two rows it knows nothing and says 0."""
        if len(x) < 4:
            return FittedMember(np.zeros(len(x)), lambda rows: np.zeros(len(rows)))
        rows = self.view.fit(x)(x)
        if rows.shape[1] < x.shape[1]:  # the view could fit itself to the rows
            return left_out_fit(x, self._score_of, draw_folds(len(x), _FOLDS, random))
        near = NearestNeighbors(n_neighbors=min(self.k, len(x) - 1)).fit(rows).kneighbors()[1]
        return FittedMember(self._distances(rows, near, rows), self._score_of(x))

    def _score_of(self, x: np.ndarray) -> Score:
        to_space = self.view.fit(x)
        rows = to_space(x)
        nearest = NearestNeighbors(n_neighbors=min(self.k, len(x) - 1)).fit(rows)

        def score(new: np.ndarray) -> np.ndarray:
            space = to_space(new)
            return self._distances(space, nearest.kneighbors(space)[1], rows)

        return score

    def _distances(self, x: np.ndarray, near: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Log squared distances [m] of rows x [m, d] to training rows of indices near [m, k]."""
        parts = [slice(start, start + _CHUNK) for start in range(0, len(x), _CHUNK)]
        return np.concatenate([np.empty(0), *(
            self._distance(x[part], rows[near[part]]) for part in parts)])

    def _distance(self, x: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Log squared distances [m] of rows x [m, d] to their near rows [m, k, d].

        With C the centred near rows, (CᵀC/k + λI)⁻¹ is found by the k × k matrix CCᵀ (Woodbury).
        """
        k, d = near.shape[1:]
        mean = near.mean(1)
        centred, y = near - mean[:, None], x - mean
        gram = centred @ centred.transpose(0, 2, 1)
        ridge = self.shrinkage * np.trace(gram, axis1=1, axis2=2) / (k * d) + 1e-6
        along = (centred @ y[..., None])[..., 0]
        solved = np.linalg.solve(gram + k * ridge[:, None, None] * np.eye(k), along[..., None])
        squared = ((y**2).sum(1) - (along * solved[..., 0]).sum(1)) / ridge
        return np.log(np.maximum(squared, 0) + 1e-9)
