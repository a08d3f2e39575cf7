"""The bound of the variational baseline against a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from flowaa.flow.likelihood import Standardise
from flowaa.training.archetypes.variational import EncoderDecoder, VariationalBottleneck


def test_bound_is_at_the_evidence_where_the_posterior_is_exact():
    """A decoder that ignores the latent, a posterior that is the prior: x ~ N(bias, noise²)."""
    network = EncoderDecoder((3,), width=4, n_latent=2)
    mean, std = (1.0, 2.0, 3.0), (2.0, 1.0, 0.5)
    bottleneck = VariationalBottleneck(network, Standardise(mean, std))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    params = jax.jit(bottleneck.init)(jax.random.key(0), x, None)
    params = jax.tree.map(jnp.zeros_like, params)
    params["log_noise"] = jnp.log(0.7)
    params["to_data"]["bias"] = jnp.array([0.1, 0.2, 0.3])
    encoded = bottleneck.encode(params, x, None, 0.0, None)
    _, nll = bottleneck.reconstruct(params, encoded, jnp.zeros((5, 2)), None, jax.random.key(1),
                                    jnp.arange(5))
    location = np.array(mean) + np.array(std) * [0.1, 0.2, 0.3]
    expected = -scipy.stats.norm(location, 0.7 * np.array(std)).logpdf(x).sum(1)
    np.testing.assert_allclose(nll, expected, rtol=1e-5)


def test_divergence_is_that_of_two_gaussians():
    """What the bound loses for a latent off the prior's mean: its Kullback-Leibler divergence."""
    network = EncoderDecoder((3,), width=4, n_latent=2)
    bottleneck = VariationalBottleneck(network, Standardise((0.0,) * 3, (1.0,) * 3))
    x = jnp.ones((1, 3))
    params = jax.tree.map(jnp.zeros_like, jax.jit(bottleneck.init)(jax.random.key(0), x, None))
    params["to_log_scale"]["bias"] = jnp.log(jnp.array([0.5, 2.0]))
    encoded = bottleneck.encode(params, x, None, 0.0, None)
    key, ids = jax.random.key(0), jnp.arange(1)
    off = bottleneck.reconstruct(params, encoded, jnp.array([[1.0, -3.0]]), None, key, ids)[1]
    params["to_log_scale"]["bias"] = jnp.zeros(2)
    on = bottleneck.reconstruct(params, encoded, jnp.zeros((1, 2)), None, key, ids)[1]
    scale, location = np.array([0.5, 2.0]), np.array([1.0, -3.0])
    divergence = (np.log(1 / scale) + (scale**2 + location**2) / 2 - 0.5).sum()
    assert float(off[0] - on[0]) == pytest.approx(divergence, rel=1e-5)
