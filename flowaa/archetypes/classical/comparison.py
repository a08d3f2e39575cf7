"""How near weights come to the true ones, and what linear methods reach on the same rows."""

import numpy as np
import scipy.optimize

from flowaa.archetypes.classical.model import find_weights, fit_model
from flowaa.archetypes.classical.search import Settings
from flowaa.archetypes.principal_components import principal_components

_N_COMPONENTS = 64  # of wider data, classical analysis sees its principal components
_N_STARTS = 5


def match(weights: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Which column of weights [n, K] stands for each column of the true ones [n, K]: [K] int.

    Archetypes have no order: the assignment with the least mean absolute error is taken.
    """
    cost = np.abs(weights[:, :, None] - true[:, None, :]).mean(0)
    found, wanted = scipy.optimize.linear_sum_assignment(cost)
    return found[np.argsort(wanted)]


def weight_error(weights: np.ndarray, true: np.ndarray) -> float:
    """Mean absolute error of weights [n, K] after matching."""
    return float(np.abs(weights[:, match(weights, true)] - true).mean())


def linear_weights(train: np.ndarray, test: np.ndarray, n_archetypes: int, *, seed: int
                   ) -> np.ndarray:
    """Weights [m, K] of rows [m, D] by classical archetypal analysis of training rows [n, D]."""
    train, test = train.astype(np.float32), test.astype(np.float32)
    if train.shape[1] > _N_COMPONENTS:
        mean, components = principal_components(train, _N_COMPONENTS)
        train, test = (train - mean) @ components.T, (test - mean) @ components.T
    settings = Settings(n_archetypes=n_archetypes, n_init=_N_STARTS)
    model = fit_model(train, settings, rng=np.random.default_rng(seed))
    return find_weights(test, model.archetypes, model.frame)[0]


def pca_error(train: np.ndarray, test: np.ndarray, n: int) -> float:
    """Mean square error, per dimension, of test rows [m, D] from n principal components."""
    mean, components = principal_components(train.astype(np.float32), n)
    centred = test.astype(np.float32) - mean
    return float(np.square(centred - centred @ components.T @ components).mean())
