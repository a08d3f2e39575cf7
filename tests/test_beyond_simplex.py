"""Return periods of weights beyond a simplex that is the base distribution, against its draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from flowaa import extremes
from flowaa.errors import UserError
from flowaa.flow.noisy_simplex import NoisySimplexLaw
from flowaa.flow.simplex_points import simplex_points
from flowaa.outliers.beyond_simplex import coordinates, draw_beyond, gauge_level, gauge_period

VERTICES = jnp.array([[0.0, 0.3], [2.0, -0.5], [0.7, 1.8]])
POINTS = simplex_points(3, 512)
LAW = NoisySimplexLaw(VERTICES, POINTS.weights, POINTS.log_masses(jnp.array([0.8, 1.0, 1.5])), 0.2,
                      n_rest=2)


def gauges_of(z):
    return np.asarray(jax.jit(lambda z: extremes.gauge(coordinates(LAW, z)))(z))


def test_one_draw_in_so_many_exceeds_the_level():
    drawn = LAW.sample(seed=jax.random.key(0), sample_shape=(200_000,))
    gauges = gauges_of(drawn)
    for period in (20.0, 1000.0):
        share = (gauges > float(gauge_level(LAW, period))).mean()
        error = 4 / np.sqrt(len(drawn) * period)  # and draws beyond two facets count twice
        assert 0.9 / period - error < share < 1 / period + error


def test_the_period_is_the_inverse_of_the_level():
    periods = jnp.array([10.0, 1e3, 1e6])
    z = draw_beyond(LAW, jax.random.key(1), 3, extremeness=periods)
    np.testing.assert_allclose(jax.jit(lambda z: gauge_period(LAW, z))(z), periods, rtol=1e-2)


def test_the_middle_is_no_rarity():
    z = LAW.latent(jnp.full((1, 3), 1 / 3))
    np.testing.assert_array_equal(jax.jit(lambda z: gauge_period(LAW, z))(z), 1.0)


def test_draws_beyond_are_ordinary_in_the_rest():
    z = draw_beyond(LAW, jax.random.key(2), 4000, extremeness=1e4)
    weights = coordinates(LAW, z)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(weights @ VERTICES, z[:, :2], atol=1e-5)
    np.testing.assert_allclose(gauges_of(z), gauge_level(LAW, 1e4), rtol=1e-4)
    for values in np.asarray(z[:, 2:]).T:
        assert stats.kstest(values, "norm").pvalue > 1e-3


def test_periods_that_leave_no_one_outside_end_just_outside():
    z = draw_beyond(LAW, jax.random.key(3), 50, extremeness=1.0)
    assert gauges_of(z).min() > 1.0
    with pytest.raises(UserError, match="return period"):
        draw_beyond(LAW, jax.random.key(3), 5, extremeness=0.5)
