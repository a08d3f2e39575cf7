"""Baselines that are given the same scores as deep archetypes: regressions onto the simplex."""

import numpy as np
from optax.projections import projection_simplex
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV

from flowaa.data.dataset import Dataset
from flowaa.data.rows import read_all


def project_onto_simplex(weights: np.ndarray) -> np.ndarray:
    """The nearest point of the simplex to each row of [n, K]."""
    import jax

    return np.asarray(jax.vmap(projection_simplex)(weights.astype(np.float32)))


def ridge_per_class(data: Dataset, *, n_components: int) -> float:
    """Mean absolute error of the weights that ridge regression reads off each class's pictures.

    Args:
        data: pictures with labels and scores.
        n_components: principal components of each class's pixels that the regression sees.
    """
    errors = []
    labels, scores = data.train.y, data.train.side
    test_labels, test_scores = data.test.y, data.test.side
    assert labels is not None
    assert scores is not None
    assert test_labels is not None
    assert test_scores is not None
    x, test = (read_all(split.x).reshape(len(split), -1) for split in (data.train, data.test))
    for label in np.unique(labels):
        of_class, tested = labels == label, test_labels == label
        components = PCA(n_components, whiten=True, random_state=0).fit(x[of_class])
        model = RidgeCV(np.logspace(-3, 3, 13)).fit(
            components.transform(x[of_class]), scores[of_class])
        weights = project_onto_simplex(model.predict(components.transform(test[tested])))
        errors.append(np.abs(weights - test_scores[tested]).mean(1))
    return float(np.concatenate(errors).mean())
