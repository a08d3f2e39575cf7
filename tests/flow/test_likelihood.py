"""Units and noise: levels survive, volumes are the numeric ones, bounds lie in their order."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from flowaa.bijectors.chain import Chain
from flowaa.bijectors.mixing import ActNorm
from flowaa.flow.base_distribution import StandardNormal
from flowaa.flow.density import MIDDLE_OF_LEVEL, Density
from flowaa.flow.flow import Flow
from flowaa.flow.likelihood import (
    Dequantise,
    Standardise,
    bits_per_dim,
    dequantisation_noise,
    importance_bound,
)

ALPHA = 0.05
N_LEVELS = 5
STANDARDISED = Dequantise(N_LEVELS, (2.0, 3.0), (1.5, 0.8))
LOGIT = Dequantise(N_LEVELS, (2.0, 3.0), (1.5, 0.8), logit_alpha=ALPHA)
BOTH = pytest.mark.parametrize("preprocessing", [STANDARDISED, LOGIT], ids=["standard", "logit"])


def smallest_and_largest_noise() -> tuple[float, float]:
    """The ends of what a uniform draw can give, after `dequantisation_noise` has had its say."""
    ends = jnp.asarray([0.0, 1.0 - 2.0**-23], jnp.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "uniform", lambda key, shape: ends)
        noise = dequantisation_noise(jax.random.key(0), jnp.arange(1), (2,))[0]
    return float(noise[0]), float(noise[1])


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 1e-3, 0.05])
@pytest.mark.parametrize("n_levels", [17, 256])
def test_levels_come_back_whatever_the_noise(n_levels, alpha):
    levels = np.arange(n_levels, dtype=np.uint8)[:, None]
    preprocessing = Dequantise(n_levels, (0.37 * n_levels,), (0.23 * n_levels,), alpha)
    for noise in (*smallest_and_largest_noise(), 0.25, MIDDLE_OF_LEVEL):
        y, _ = preprocessing.to_model(jnp.asarray(levels), jnp.float32(noise))
        assert np.isfinite(y).all()
        back = preprocessing.to_data(y)
        assert back.dtype == jnp.uint8
        np.testing.assert_array_equal(back, levels, err_msg=f"noise {noise}")


def test_values_beyond_the_levels_become_the_nearest_level():
    for preprocessing in (STANDARDISED, LOGIT):
        ends = preprocessing.to_data(jnp.asarray([[-1e3, -1e3], [1e3, 1e3]]))
        np.testing.assert_array_equal(ends, [[0, 0], [N_LEVELS - 1, N_LEVELS - 1]])


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_log_volume_is_that_of_the_numeric_jacobian(alpha):
    preprocessing = Dequantise(7, (3.0, 2.0, 4.0), (1.0, 2.0, 0.5), alpha)
    x = jnp.asarray(np.random.default_rng(0).integers(0, 7, (2, 2, 2, 3)), jnp.uint8)
    noise = jnp.asarray(np.random.default_rng(1).uniform(0.1, 0.9, x.shape), jnp.float32)
    _, log_volume = preprocessing.to_model(x, noise)
    jacobian = jax.jacobian(lambda u: preprocessing.to_model(x, u)[0].sum(0).reshape(-1))(noise)
    matrices = np.asarray(jacobian, np.float64).swapaxes(0, 1).reshape(2, 12, 12)
    np.testing.assert_allclose(log_volume, np.linalg.slogdet(matrices)[1], atol=1e-4)


def test_continuous_data_is_standardised_with_its_volume():
    preprocessing = Standardise((1.0, -2.0), (0.5, 3.0))
    x = jnp.asarray([[1.0, -2.0], [2.0, 4.0]])
    y, log_volume = preprocessing.to_model(x, 0.0)
    np.testing.assert_allclose(y, [[0.0, 0.0], [2.0, 2.0]], atol=1e-6)
    np.testing.assert_allclose(log_volume, -np.log(1.5), rtol=1e-6)
    np.testing.assert_allclose(preprocessing.to_data(y), x, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float16"])
def test_rows_of_any_type_have_the_density_of_their_numbers(dtype):
    """As integers, mean and deviation of (0.5, 1.5) would be cut to (0, 1)."""
    x = np.array([[1, 2], [3, 0]])
    for preprocessing in (Standardise((0.5, 1.5), (1.5, 2.5)), STANDARDISED, LOGIT):
        wanted = preprocessing.to_model(jnp.asarray(x, jnp.float32), 0.25)
        found = preprocessing.to_model(jnp.asarray(x, dtype), 0.25)
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == jnp.float32
            np.testing.assert_array_equal(a, b)


def identity_density(preprocessing) -> Density:
    """A flow that changes nothing: the density of the preprocessing alone."""
    return Density(Flow(Chain((ActNorm(),)), StandardNormal(2), (2,), (2,)), preprocessing)


def exact_log_prob(preprocessing, x: np.ndarray) -> np.ndarray:
    """log P of levels [N, 2] under the identity flow: differences of the normal's distribution."""

    def to_latent(value: np.ndarray) -> np.ndarray:
        if preprocessing.logit_alpha:
            share = ALPHA + (1 - 2 * ALPHA) * value / N_LEVELS
            return special.logit(share)
        return (value - np.asarray(preprocessing.mean)) / np.asarray(preprocessing.std)

    low, high = to_latent(x.astype(float)), to_latent(x + 1.0)
    return np.log(stats.norm.cdf(high) - stats.norm.cdf(low)).sum(1)


ALL_LEVELS = np.array(list(itertools.product(range(N_LEVELS), repeat=2)), np.uint8)


def sampled_log_probs(preprocessing, n_samples: int) -> np.ndarray:
    """log p(x + u) [n_samples, N] of all levels."""
    density = identity_density(preprocessing)
    params = {"bijector": {"blocks_0": {"bias": jnp.zeros(2), "log_scale": jnp.zeros(2)}}}
    x = jnp.tile(jnp.asarray(ALL_LEVELS), (n_samples, 1))

    @jax.jit
    def log_prob(x: jax.Array) -> jax.Array:
        noise = density.noise(jax.random.key(0), jnp.arange(len(x)))
        return density.log_prob(params, x, None, noise)

    return np.asarray(log_prob(x), np.float64).reshape(n_samples, -1)


@BOTH
def test_the_probabilities_of_all_levels_are_those_of_the_density(preprocessing):
    log_probs = sampled_log_probs(preprocessing, 4096)
    probabilities = np.exp(np.asarray(importance_bound(jnp.asarray(log_probs))))
    exact = np.exp(exact_log_prob(preprocessing, ALL_LEVELS))
    error = np.exp(log_probs).std(0) / np.sqrt(len(log_probs))
    assert (np.abs(probabilities - exact) <= 5 * error + 1e-6).all()
    # The levels share out all mass between 0 and N_LEVELS, and no more.
    assert probabilities.sum() == pytest.approx(exact.sum(), abs=5 * np.sqrt((error**2).sum()))


@BOTH
def test_bounds_rise_with_the_number_of_samples_to_the_probability(preprocessing):
    log_probs = sampled_log_probs(preprocessing, 1024)
    bounds = []
    for k in (1, 2, 8, 64, 1024):  # pools are unions of smaller ones: the order is exact
        pools = log_probs.reshape(k, -1)  # every column is a pool of one level
        bounds.append(np.asarray(importance_bound(jnp.asarray(pools))).reshape(
            -1, len(ALL_LEVELS)).mean(0))
    assert (np.diff(bounds, axis=0) >= -1e-6).all()
    assert bounds[-1].mean() - bounds[0].mean() > 1e-3  # and it does rise
    exact = exact_log_prob(preprocessing, ALL_LEVELS)
    assert (bounds[0] < exact).all()
    np.testing.assert_allclose(bounds[-1], exact, atol=0.1)


def test_noise_is_an_examples_own():
    key = jax.random.key(3)
    noise = dequantisation_noise(key, jnp.arange(8), (4, 4, 1))
    np.testing.assert_array_equal(dequantisation_noise(key, jnp.arange(4, 8), (4, 4, 1)), noise[4:])
    assert stats.kstest(np.asarray(noise).ravel(), "uniform").pvalue > 1e-3
    assert len(np.unique(noise)) == noise.size


def test_bits_per_dim_of_a_uniform_over_levels():
    assert bits_per_dim(jnp.asarray(-64 * np.log(17.0)), 64) == pytest.approx(np.log2(17))
