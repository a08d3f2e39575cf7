"""What every solver must do, against oracles; each check fails for a solver broken its way."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.archetypes.classical.alternation import Solver
from flowaa.archetypes.classical.model import Model, Settings, fit_model
from tests.archetypes import oracles

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(150, 3))  # more than an archetype has candidates
N_ARCHETYPES = 3


@functools.cache
def least_rss() -> float:
    return oracles.archetypal_analysis(ROWS, N_ARCHETYPES, n_starts=4, n_rounds=60)


def fitted(solver: str, **settings: float) -> Model:
    return fit_model(ROWS, Settings(N_ARCHETYPES, solver=solver, **settings),
                     rng=np.random.default_rng(0))


def on_simplex(weights: np.ndarray, tolerance: float) -> None:
    assert weights.min() >= 0.0
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=tolerance)


def mixes_exactly(solver: Solver) -> None:
    """The weights of rows, inside the hull and outside, among more corners than dimensions."""
    corners = np.random.default_rng(1).normal(size=(5, 3))
    rows = 0.7 * ROWS
    expected = oracles.best_weights(rows, corners) @ corners
    with jax.enable_x64(True):
        found = solver.mix(jnp.asarray(corners @ corners.T), jnp.asarray(corners @ rows.T),
                           jnp.full((5, len(rows)), 0.2), jnp.asarray(1e-12), jnp.int32(5000))
        weights = np.asarray(found).T
    on_simplex(weights, 1e-9)
    np.testing.assert_allclose(weights @ corners, expected, atol=1e-5)


def shapes_exactly(solver: Solver) -> None:
    """The archetypes for given weights: a convex problem over the simplices of the rows."""
    weights = np.random.default_rng(2).dirichlet(np.full(N_ARCHETYPES, 0.3), len(ROWS))
    expected = oracles.best_data_weights(ROWS, weights) @ ROWS
    with jax.enable_x64(True):
        start = jnp.zeros((N_ARCHETYPES, len(ROWS))).at[:, 0].set(1.0)
        found = solver.shape(
            start, jnp.broadcast_to(jnp.asarray(ROWS), (N_ARCHETYPES, *ROWS.shape)),
            jnp.asarray(weights.T @ weights), jnp.asarray(weights.T @ ROWS), jnp.asarray(1e-10),
            jnp.int32(20_000))
        shares = np.asarray(found)
    on_simplex(shares, 1e-9)
    np.testing.assert_allclose(shares @ ROWS, expected, atol=1e-4)


def fits_as_well_as_the_oracle(solver: str) -> None:
    model = fitted(solver, tol=1e-8)
    assert model.converged
    assert model.rss <= (1 + 1e-4) * least_rss()
    np.testing.assert_allclose(model.rss, oracles.rss(ROWS, model.archetypes), rtol=1e-6)


def respects_its_constraints(solver: str) -> None:
    model = fitted(solver, tol=1e-8)
    shares = model.dense_data_weights()
    on_simplex(model.weights, 1e-9)
    on_simplex(shares, 1e-9)
    np.testing.assert_allclose(shares @ ROWS, model.archetypes, atol=1e-9)
    assert oracles.distance_from_hull(model.archetypes, ROWS) < 1e-6


def certificate_holds(solver: str) -> None:
    """The gap of a fit cut short exceeds what the best A alone, or the best B alone, would gain."""
    for max_iter in (2, 4):
        model = fitted(solver, n_init=1, tol=0.0, max_iter=max_iter)
        squared = ((ROWS - model.weights @ model.archetypes) ** 2).sum()
        best = oracles.best_data_weights(ROWS, model.weights) @ ROWS
        gains = [squared - oracles.rss(ROWS, model.archetypes),
                 squared - ((ROWS - model.weights @ best) ** 2).sum()]
        assert max(gains) > 0.0
        assert max(gains) <= model.gap * squared + 1e-9
    # It is also of use: it closes as the fit converges.
    assert fitted(solver, tol=1e-8).gap < 1e-3


UPDATE_CHECKS = {"mixes_exactly": mixes_exactly, "shapes_exactly": shapes_exactly}
FIT_CHECKS = {
    "fits_as_well_as_the_oracle": fits_as_well_as_the_oracle,
    "respects_its_constraints": respects_its_constraints,
    "certificate_holds": certificate_holds,
}
