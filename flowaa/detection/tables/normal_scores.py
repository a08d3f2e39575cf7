"""Features by rank: normal scores, and the Gaussian law that couples them."""

import dataclasses

import numpy as np
from scipy.special import ndtri

from flowaa.detection.tables.members import FittedMember, Score, draw_folds, left_out_fit
from flowaa.detection.tables.metrics import Map, Whitened

_FOLDS = 10
_LINEAR = 0.1  # weight of the feature itself, so that ranks do not flatten its gaps


@dataclasses.dataclass(frozen=True)
class NormalScores:
    """Each feature's normal score, mixed with the feature, and straight on beyond its range.

    A training row is never beyond the range that it helped to set, so that every training row
    must be judged without it, however many there are.
    """

    needs_rows_per_feature: float = np.inf

    def fit(self, x: np.ndarray) -> Map:
        """Fits to standardised rows x [n, D]; equal values share the score of their mean rank."""
        tables = []
        for column in x.T:
            values, counts = np.unique(column, return_counts=True)
            tables.append((values, ndtri((np.cumsum(counts) - counts / 2) / len(x))))

        def to_space(rows: np.ndarray) -> np.ndarray:
            space = _LINEAR * rows
            for j, (values, scores) in enumerate(tables):
                inside = np.clip(rows[:, j], values[0], values[-1])
                space[:, j] += ((1 - _LINEAR) * np.interp(inside, values, scores)
                                + rows[:, j] - inside)
            return space

        return to_space


@dataclasses.dataclass(frozen=True)
class GaussianCopula:
    """Minus the log density of the Gaussian copula, zᵀR⁻¹z − zᵀz of standardised normal scores z.

    It tells rows whose features do not go together, whatever each of them is alone: an outlier
    between the inliers is seen, and a row far out in one feature is left to the other members.
    """

    def fit(self, x: np.ndarray, random: np.random.Generator) -> FittedMember:
        """Fits to standardised rows x [n, D]; of one feature it knows nothing and says 0."""
        if x.shape[1] < 2:
            return FittedMember(np.zeros(len(x)), lambda rows: np.zeros(len(rows)))
        return left_out_fit(x, self._score_of, draw_folds(len(x), _FOLDS, random))

    def _score_of(self, x: np.ndarray) -> Score:
        to_scores = NormalScores().fit(x)
        z = to_scores(x)
        mean, deviation = z.mean(0), np.maximum(z.std(0), 1e-3)
        to_space = Whitened(1.0).fit((z - mean) / deviation)

        def score(rows: np.ndarray) -> np.ndarray:
            scores = (to_scores(rows) - mean) / deviation
            return (to_space(scores) ** 2).sum(1) - (scores**2).sum(1)

        return score
