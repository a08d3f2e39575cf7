"""Fitted archetypes against problems whose answer is known, and against their own constraints."""

import numpy as np
import pytest

from flowaa.archetypes.alternation import SOLVERS
from flowaa.archetypes.model import Settings, fit_model


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_corners_that_are_data_are_found(solver):
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(3, 5)).astype(np.float32)
    mixtures = np.concatenate([np.eye(3), rng.dirichlet(np.ones(3), 200)]).astype(np.float32)
    x = mixtures @ corners
    model = fit_model(x, Settings(3, solver=solver), rng=np.random.default_rng(1))
    assert model.rss < 1e-5 * model.total
    distances = np.linalg.norm(model.archetypes[:, None] - corners[None], axis=-1)
    assert sorted(distances.argmin(1)) == [0, 1, 2]
    assert distances.min(1).max() < 0.02
    assert model.weights.min() >= 0
    np.testing.assert_allclose(model.weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(model.data_weight.sum(1), 1, atol=1e-6)
    in_hull = np.einsum("ks,ksd->kd", model.data_weight, x[model.data_index])
    np.testing.assert_allclose(in_hull, model.archetypes, atol=1e-5)
