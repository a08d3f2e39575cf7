"""Each feature predicted from the others: how far a row's features are from what they imply."""

import dataclasses

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from flowaa.detection.tables.members import FittedMember, Score, cross_fit, draw_folds, draw_rows
from flowaa.detection.tables.metrics import FEW_FEATURES, Metric

_GROUPS = 6  # a feature is predicted with those of its group left out too, where there are many
_ROUNDS = 2  # of groups, then


@dataclasses.dataclass(frozen=True)
class Conditionals:
    """Σ log(1 + r²/s²) of the residuals r of all features, as if they were Cauchy's.

    Up to 12 features are each predicted from all others; more are predicted in groups, from the
    features outside their group. The scale s of a feature is its median residual in the fit.
    """

    n_trees: int = 15
    n_folds: int = 5
    most_rows: int = 4_000  # that trees are grown on
    view: Metric = FEW_FEATURES

    def fit(self, x: np.ndarray, random: np.random.Generator) -> FittedMember:
        """Fits to standardised rows x [n, D]; of one feature it knows nothing and says 0."""
        if x.shape[1] < 2:
            return FittedMember(np.zeros(len(x)), lambda rows: np.zeros(len(rows)))
        return cross_fit(x, lambda rows: self._fit_without_fold(rows, random),
                         draw_folds(len(x), self.n_folds, random))

    def _fit_without_fold(self, x: np.ndarray, random: np.random.Generator) -> Score:
        to_space = self.view.fit(x)
        rows = to_space(draw_rows(x, self.most_rows, random))
        d = rows.shape[1]
        if d < 2:
            return lambda new: np.zeros(len(new))
        predictors = []
        for group in _draw_groups(d, random):
            others = np.setdiff1d(np.arange(d), group)
            trees = ExtraTreesRegressor(
                self.n_trees, min_samples_leaf=3, max_features=0.5, bootstrap=True, oob_score=False,
                random_state=int(random.integers(2**31)))
            target = rows[:, group] if len(group) > 1 else rows[:, group[0]]
            predictors.append((group, others, trees.fit(rows[:, others], target)))

        def residuals(space: np.ndarray) -> np.ndarray:
            total, count = np.zeros_like(space), np.zeros(d)
            for group, others, trees in predictors:
                total[:, group] += trees.predict(space[:, others]).reshape(len(space), len(group))
                count[group] += 1
            return space - total / count

        scale = np.sqrt(np.median(residuals(rows) ** 2, axis=0)) + 0.02
        return lambda new: np.log1p((residuals(to_space(new)) / scale) ** 2).sum(1)


def _draw_groups(d: int, random: np.random.Generator) -> list[np.ndarray]:
    """Groups of features that together hold each feature at least once."""
    if d <= 2 * _GROUPS:
        return [np.array([j]) for j in range(d)]
    return [group for _ in range(_ROUNDS) for group in np.array_split(random.permutation(d),
                                                                      _GROUPS)]
