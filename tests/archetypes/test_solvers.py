"""The solver against exact oracles: the least squares of a round, and whole fits."""

import functools

import numpy as np

from flowaa.archetypes.classical import hull
from flowaa.archetypes.classical.model import Model, fit_model
from flowaa.archetypes.classical.search import Settings
from flowaa.archetypes.classical.simplex_least_squares import (
    Problems,
    nearest_to_origin,
    solve,
)
from tests.archetypes import oracles

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(150, 3))  # more than an archetype has candidates
N_ARCHETYPES = 3


@functools.cache
def least_rss() -> float:
    return oracles.archetypal_analysis(ROWS, N_ARCHETYPES, n_starts=4, n_rounds=60)


CONVERGED = {"tol": 1e-7, "n_init": 3}


@functools.cache
def fitted(**settings: float) -> Model:
    return fit_model(ROWS, Settings(N_ARCHETYPES, **settings),
                     rng=np.random.default_rng(0))


def on_simplex(weights: np.ndarray, tolerance: float = 1e-9) -> None:
    assert weights.min() >= 0.0
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=tolerance)


def test_weights_of_rows_inside_the_hull_and_outside():
    """Among more corners than dimensions: the mixtures are unique, the weights are not."""
    corners = np.random.default_rng(1).normal(size=(5, 3))
    rows = 0.7 * ROWS
    problems = Problems((corners @ corners.T)[None], np.zeros(len(rows), int), rows @ corners.T)
    corner, middle = np.eye(5)[np.zeros(len(rows), int)], np.full((len(rows), 5), 0.2)
    for start in (middle, corner):  # weights leave the one, and join the other
        weights = solve(problems, start)
        on_simplex(weights)
        np.testing.assert_allclose(
            weights @ corners, oracles.best_weights(rows, corners) @ corners, atol=1e-5)
        assert (problems.gaps(weights) < 1e-9).all()
    # The gap is no less than what is left to gain, wherever the weights are.
    left = [0.5 * ((rows - w @ corners) ** 2).sum(1) for w in (middle, weights)]
    assert (problems.gaps(middle) >= left[0] - left[1] - 1e-9).all()


def test_problems_with_matrices_of_their_own():
    """Some share one, and the solutions are those of each problem alone."""
    rng = np.random.default_rng(3)
    corners = rng.normal(size=(3, 4, 6))
    owner, rows = np.repeat(np.arange(3), 5), rng.normal(size=(15, 6))
    target = np.einsum("nkd,nd->nk", corners[owner], rows)
    problems = Problems(corners @ corners.swapaxes(1, 2), owner, target)
    weights = solve(problems, np.eye(4)[np.zeros(15, int)])
    expected = np.concatenate([oracles.best_weights(rows[owner == i], corners[i])
                               for i in range(3)])
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_columns_that_depend_on_each_other_do_not_break_the_active_sets():
    corners = np.random.default_rng(1).normal(size=(4, 2))
    corners = np.concatenate([corners, corners, corners[:1] + 1e-9])
    problems = Problems((corners @ corners.T)[None], np.zeros(150, int), ROWS[:, :2] @ corners.T)
    weights = solve(problems, np.full((150, 9), 1 / 9))
    on_simplex(weights)
    np.testing.assert_allclose(
        weights @ corners, oracles.best_weights(ROWS[:, :2], corners[:4]) @ corners[:4], atol=1e-6)


def test_the_mixtures_nearest_to_the_origin():
    """Of points around it, beside it, and far from it on a line."""
    rng = np.random.default_rng(2)
    points = rng.normal(size=(3, 6, 3)) * [[[1.0]], [[1e-3]], [[1.0]]]
    points[1] += 1.0
    points[2] = 1e3 + np.linspace(0.0, 1.0, 6)[:, None]
    weights = nearest_to_origin(points)
    on_simplex(weights)
    for found, corners in zip(weights, points, strict=True):
        expected = oracles.best_weights(np.zeros((1, 3)), corners)[0]
        np.testing.assert_allclose(found @ corners, expected @ corners, atol=1e-7)
    assert nearest_to_origin(points[:0]).shape == (0, 6)


def test_few_and_many_features_end_alike(monkeypatch):
    compiled = fitted(**CONVERGED)
    monkeypatch.setattr(hull, "_FEW", 0)
    batched = fit_model(ROWS, Settings(N_ARCHETYPES, **CONVERGED), rng=np.random.default_rng(0))
    np.testing.assert_allclose(batched.rss, compiled.rss, rtol=1e-6)
    np.testing.assert_allclose(batched.archetypes, compiled.archetypes, atol=1e-2)


def test_problems_may_end_with_what_gaps_are_allowed():
    corners = np.random.default_rng(1).normal(size=(5, 3))
    problems = Problems((corners @ corners.T)[None], np.zeros(len(ROWS), int), ROWS @ corners.T)
    start = np.eye(5)[np.zeros(len(ROWS), int)]
    left = [problems.gaps(solve(problems, start, allowed)).sum()
            for allowed in (30.0, 2.0, 1e-3)]
    assert 10.0 < left[0] <= 2.0 * 30.0  # what single problems are allowed comes on top
    assert 1.0 < left[1] <= 2.0 * 2.0
    assert left[2] <= 2e-3


def test_a_fit_is_as_good_as_the_oracles():
    model = fitted(**CONVERGED)
    assert model.converged
    assert model.rss <= (1 + 1e-4) * least_rss()
    np.testing.assert_allclose(model.rss, oracles.rss(ROWS, model.archetypes), rtol=1e-6)


def test_a_fit_respects_its_constraints():
    model = fitted(**CONVERGED)
    shares = model.dense_data_weights()
    on_simplex(model.weights)
    on_simplex(shares)
    np.testing.assert_allclose(shares @ ROWS, model.archetypes, atol=1e-9)
    assert oracles.distance_from_hull(model.archetypes, ROWS) < 1e-6


def test_the_certificate_holds():
    """The gap of a fit cut short exceeds what the best A alone, or the best B alone, would gain."""
    for max_iter in (1, 2, 4):
        model = fitted(n_init=1, tol=0.0, max_iter=max_iter)
        squared = ((ROWS - model.weights @ model.archetypes) ** 2).sum()
        best = oracles.best_data_weights(ROWS, model.weights) @ ROWS
        gains = [squared - oracles.rss(ROWS, model.archetypes),
                 squared - ((ROWS - model.weights @ best) ** 2).sum()]
        assert max(gains) > 0.0
        assert max(gains) <= model.gap * squared + 1e-9
    # It is also of use: it closes as the fit converges.
    assert fitted(**CONVERGED).gap < 2e-3
