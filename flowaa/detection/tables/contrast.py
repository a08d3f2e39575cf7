"""Trees that tell inliers from rows made of them: what a row must have to be a real one."""

import dataclasses

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from flowaa.detection.tables.members import FittedMember, Score, cross_fit, draw_folds, draw_rows
from flowaa.detection.tables.metrics import FEW_FEATURES, Metric

_REPLACED = 0.3  # share of the features
_JITTER = 0.5  # deviations
_BEYOND = 0.1  # of each feature's range, on both sides
_FLOOR = 0.01  # of the probability that a row was made


@dataclasses.dataclass(frozen=True)
class ContrastiveTrees:
    """Extremely randomised trees: inliers against four kinds of rows made of them.

    The made rows have shuffled columns (no dependence is left), a share of their features
    replaced, noise of half a deviation, or are uniform in a box beyond the features' ranges.
    Each fold is scored by trees that saw neither its rows nor rows made of them.
    """

    n_trees: int = 100  # a fold
    n_folds: int = 5
    most_rows: int = 4_000  # that trees are grown on
    view: Metric = FEW_FEATURES

    def fit(self, x: np.ndarray, random: np.random.Generator) -> FittedMember:
        """Fits to standardised rows x [n, D]."""
        return cross_fit(x, lambda rows: self._fit_without_fold(rows, random),
                         draw_folds(len(x), self.n_folds, random))

    def _fit_without_fold(self, x: np.ndarray, random: np.random.Generator) -> Score:
        to_space = self.view.fit(x)
        rows = to_space(draw_rows(x, self.most_rows, random))
        made = make_rows(rows, len(rows) if len(rows) >= 500 else 2 * len(rows), random)
        trees = ExtraTreesClassifier(
            self.n_trees, min_samples_leaf=3, class_weight="balanced",
            random_state=int(random.integers(2**31)))
        trees.fit(np.concatenate([rows, made]), np.arange(len(rows) + len(made)) >= len(rows))

        def score(new: np.ndarray) -> np.ndarray:
            chance = trees.predict_proba(to_space(new))[:, 1]
            return np.log((chance + _FLOOR) / (1 + _FLOOR - chance))

        return score


def make_rows(x: np.ndarray, n_each: int, random: np.random.Generator) -> np.ndarray:
    """Rows [4 n_each, D] that are not inliers though each feature's values may be."""
    n, d = x.shape

    def shuffled() -> np.ndarray:
        return np.stack([x[random.integers(0, n, n_each), j] for j in range(d)], axis=1)

    def some() -> np.ndarray:
        return x[random.integers(0, n, n_each)]

    is_replaced = random.random((n_each, d)) < _REPLACED
    is_replaced[np.arange(n_each), random.integers(0, d, n_each)] = True
    low, high = x.min(0), x.max(0)
    margin = _BEYOND * (high - low)
    return np.concatenate([
        shuffled(),
        np.where(is_replaced, shuffled(), some()),
        some() + _JITTER * random.normal(size=(n_each, d)),
        random.uniform(low - margin, high + margin, (n_each, d)),
    ])
