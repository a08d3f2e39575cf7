"""Weights beyond the simplex: their sum, their place, and the dial against simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from flowaa import extremes
from flowaa.errors import FlowaaWarning, UserError

KEY = jax.random.key(3)


def regular_simplex(k):
    """Vertices [k, k − 1] of the regular simplex of unit radius about 0."""
    centred = np.eye(k) - 1 / k
    basis = np.linalg.svd(centred)[2][:k - 1]
    vertices = centred @ basis.T
    return vertices / np.linalg.norm(vertices[0])


@pytest.mark.parametrize("k", [2, 4, 64])
def test_every_draw_is_outside_and_sums_to_one(k):
    n = 200 if k == 64 else 2000
    for gauge in (1.0001, 1.5, 100.0):
        for concentration in (0.01, 1.0, 100.0, 1e8):
            weights = np.asarray(extremes.sample_exterior(
                KEY, n, k, gauge=gauge, concentration=concentration))
            assert weights.dtype == np.float32
            np.testing.assert_array_equal(weights.sum(1), 1)
            np.testing.assert_array_equal(weights.astype(np.float64).sum(1), 1)
            assert np.all(weights.min(1) < 0)
            np.testing.assert_allclose(extremes.gauge(weights.astype(np.float64)), gauge,
                                       rtol=3e-5 * k)
            assert np.all(np.asarray(extremes.distance_to_simplex(weights)) > 0)


def test_boundary_and_inside():
    boundary = np.asarray(extremes.sample_exterior(KEY, 2000, 4, gauge=1, concentration=1.0))
    np.testing.assert_allclose(boundary.min(1), 0, atol=3e-7)
    inside = np.asarray(extremes.sample_exterior(KEY, 2000, 4, gauge=0.5, concentration=1.0))
    np.testing.assert_allclose(inside.min(1), 1 / 8, atol=3e-7)
    assert np.all(extremes.distance_to_simplex(inside) == 0)


@pytest.mark.parametrize("concentration", [0.05, 1.0, 50.0])
def test_distance_grows_with_gauge_draw_by_draw(concentration):
    distances = np.stack([
        extremes.distance_to_simplex(extremes.sample_exterior(
            KEY, 2000, 4, gauge=e, concentration=concentration))
        for e in (1.0, 1.01, 1.1, 2.0, 5.0, 50.0)])
    assert np.all(np.diff(distances, axis=0) > 0)


def test_concentration_goes_from_corners_to_facets():
    """Where the ray leaves the simplex: weights left over, as an effective number of archetypes."""
    k, effective = 4, []
    for concentration in (0.01, 0.3, 3.0, 1000.0):
        boundary = np.asarray(extremes.sample_exterior(
            KEY, 2000, k, gauge=1.0, concentration=concentration))
        effective.append(np.mean(1 / np.sum(boundary**2, axis=1)))
    assert effective[0] < 1.1  # a corner
    assert effective[0] < effective[1] < effective[2]
    assert effective[3] > 2  # the middle of facets
    # In a large concentration's limit the directions are uniform about the centre.
    directions = np.asarray(extremes.sample_exterior(
        KEY, 20_000, 3, gauge=5.0, concentration=1e4)) - 1 / 3
    plane = directions @ regular_simplex(3)
    angles = np.sort(np.arctan2(plane[:, 1], plane[:, 0])) / (2 * np.pi) + 0.5
    assert np.abs(angles - np.linspace(0, 1, len(angles))).max() < 0.02


def test_concentration_for_each_archetype_and_each_row():
    favoured = np.ones((2000, 4), np.float32)
    favoured[:1000, 0] = favoured[1000:, 3] = 30
    weights = np.asarray(extremes.sample_exterior(
        KEY, 2000, 4, gauge=2.0, concentration=favoured))
    assert np.mean(weights[:1000].argmax(1) == 0) > 0.95
    assert np.mean(weights[1000:].argmax(1) == 3) > 0.95
    by_archetype = extremes.sample_exterior(
        KEY, 2000, 4, gauge=2.0, concentration=favoured[0])
    np.testing.assert_array_equal(by_archetype[:1000], weights[:1000])


def test_sums_survive_compilation_into_something_larger():
    @jax.jit
    def twice(keys, e):
        draw = jax.vmap(lambda key: extremes.sample_exterior(
            key, 500, 2, gauge=e, concentration=1.0))
        return jnp.sum(draw(keys) * 2, axis=2)

    for e in (1.5, 77.0):
        np.testing.assert_array_equal(twice(jax.random.split(KEY, 4), e), 2)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        jax.eval_shape(lambda e: extremes.sample_exterior(
            KEY, 5, 3, gauge=e, concentration=jnp.ones(3)), jnp.full(5, 2.0))
        extremes.distance_to_simplex(jnp.ones((5, 3)))


def test_distance_against_a_general_solver():
    rng = np.random.default_rng(0)
    for weights in rng.normal(0.3, 1, (8, 4)):
        nearest = optimize.minimize(
            lambda x, w=weights: np.sum((x - w) ** 2), np.full(4, 0.25), method="SLSQP",
            bounds=[(0, 1)] * 4, constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-12})
        exact = np.sqrt(nearest.fun)
        distance = float(extremes.distance_to_simplex(np.float32(weights)))
        assert distance == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_gauge_of_a_return_period_by_simulation(k):
    """Normal coordinates, turned into weights by the vertices, leave the simplex that often."""
    n_draws, deviation = 2_000_000, 0.5
    coordinates = deviation * np.random.default_rng(1).standard_normal((n_draws, k - 1))
    weights = 1 / k + (k - 1) / k * coordinates @ regular_simplex(k).T
    np.testing.assert_allclose(weights[:5] @ regular_simplex(k), coordinates[:5], atol=1e-12)
    gauges = 1 - k * weights.min(1)
    for period in (20, 1000):
        e = float(extremes.gauge_return_level(period, np.zeros(k), np.full(k, (k - 1) * deviation)))
        share = np.mean(gauges > e)
        standard_error = np.sqrt(1 / period / n_draws)
        # The bound counts draws beyond two facets twice: few at 20, none at 1000.
        assert share <= 1 / period + 4 * standard_error
        assert share >= (1 / period) * (0.97 if period == 20 else 1) - 4 * standard_error


@pytest.mark.parametrize(("given", "said"), [
    ({"gauge": 0}, "gauge is 0"),
    ({"gauge": -2.0}, "gauge is -2.0"),
    ({"gauge": np.inf}, "gauge is inf"),
    ({"gauge": np.nan}, "gauge is nan"),
    ({"gauge": np.array([1e50])}, "at most 3.4e"),
    ({"gauge": None}, "gauge is None"),
    ({"extremeness": 2.0}, "exactly one of gauge, extremeness"),
    ({"n": 2.5}, "n, the number of draws"),
    ({"concentration": 0.0}, "concentration is 0.0"),
    ({"concentration": np.ones(2)}, r"concentration has the shape \(2,\)"),
    ({"k": 1}, "k, the number of archetypes"),
    ({"n": 0}, "n, the number of draws"),
])
def test_wrong_arguments(given, said):
    arguments = {"n": 5, "k": 3, "gauge": 2.0, "concentration": 1.0, **given}
    with pytest.raises(UserError, match=said) as error:
        extremes.sample_exterior(KEY, arguments.pop("n"), arguments.pop("k"), **arguments)
    assert "\n" not in str(error.value)


def test_remaining_dimensions_follow_the_conditional_law():
    projection = np.float32([[1, 0, 0, 0.5], [0, 2, 0, -1]])
    mean, scale = np.float32([1, -1, 0, 2]), np.float32([1, 0.5, 3, 2])
    target = np.tile(np.float32([4, -2]), (40_000, 1))
    z = np.asarray(extremes.sample_given_projection(
        KEY, target, projection, mean=mean, scale=scale), np.float64)
    np.testing.assert_allclose(z @ projection.T, target, atol=1e-5)
    covariance = np.diag(scale.astype(np.float64) ** 2)
    gain = covariance @ projection.T @ np.linalg.inv(projection @ covariance @ projection.T)
    np.testing.assert_allclose(z.mean(0), mean + gain @ (target[0] - projection @ mean), atol=0.06)
    np.testing.assert_allclose(np.cov(z.T), covariance - gain @ projection @ covariance, atol=0.15)
    with pytest.raises(UserError, match="projection has the shape"):
        extremes.sample_given_projection(KEY, target, projection.T)


def test_remaining_dimensions_of_each_rows_class():
    """Given coordinates themselves, with a class a row: the others keep their class's law."""
    rows = np.repeat([0, 1], 5000)
    mean = np.float32([[0, 0, 10], [0, 0, -10]])[rows]
    scale = np.float32([[1, 1, 1], [1, 1, 0.1]])[rows]
    target = np.float32(np.random.default_rng(0).normal(size=(10_000, 2)))
    z = np.asarray(extremes.sample_given_projection(KEY, target, np.eye(3, dtype=np.float32)[:2],
                                                    mean=mean, scale=scale))
    np.testing.assert_allclose(z[:, :2], target, atol=1e-5)
    assert z[:5000, 2].mean() == pytest.approx(10, abs=0.06)
    assert z[5000:, 2].std() == pytest.approx(0.1, rel=0.05)


def test_special_case_of_two_archetypes_is_the_normal_quantile():
    e = float(extremes.gauge_return_level(1e12, np.zeros(2), np.ones(2)))
    assert e == pytest.approx(-special.ndtri(0.5e-12), rel=1e-5)


def test_the_former_name_of_the_gauge_still_works_and_says_so():
    with pytest.warns(FlowaaWarning, match="deprecated") as seen:
        old = extremes.sample_exterior(KEY, 5, 3, extremeness=1.5)
    assert len(seen) == 1
    np.testing.assert_array_equal(old, extremes.sample_exterior(KEY, 5, 3, gauge=1.5))
    np.testing.assert_array_equal(old, extremes.sample_exterior(KEY, 5, 3, 1.5))
