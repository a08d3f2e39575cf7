"""Constants that are no parameters, volumes that are kept, and starts that depend on data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from flowaa.bijectors.base import bound
from flowaa.bijectors.chain import Chain
from flowaa.bijectors.laws import VolumePreserving
from flowaa.bijectors.mixing import ActNorm, InvertibleLinear, Orthogonal, Permutation

RANDOM = np.random.default_rng(0)


def init(bijector, x):
    return jax.jit(bijector.init)(jax.random.key(0), x).get("params", {})


@pytest.mark.parametrize("shape", [(3, 4, 2, 3), (3, 7)])
def test_log_scales_of_volume_preserving_sum_to_zero(shape):
    theta = jnp.asarray(RANDOM.normal(size=(*shape[:-1], 2 * shape[-1])), jnp.float32)
    x = jnp.asarray(RANDOM.normal(size=shape), jnp.float32)
    law = VolumePreserving()
    slopes = jax.grad(lambda x: law.forward(x, theta)[0].sum())(x)
    assert np.abs(np.log(slopes)).max() > 0.1  # it does scale
    np.testing.assert_allclose(np.log(slopes).reshape(len(x), -1).sum(1), 0.0, atol=1e-5)


@pytest.mark.parametrize("n_channels", [6, 300])
def test_permutation_is_a_constant_of_its_seed(n_channels):
    x = jnp.arange(2.0 * n_channels).reshape(2, n_channels)
    assert init(Permutation(1), x) == {}
    z, _ = bound(Permutation(1), {}).encode(x)
    np.testing.assert_array_equal(np.sort(z), x)
    assert (np.asarray(z) != x).any()
    np.testing.assert_array_equal(bound(Permutation(1), {}).encode(x)[0], z)
    assert (np.asarray(bound(Permutation(2), {}).encode(x)[0]) != z).any()


def test_permutation_by_matrix_is_the_one_by_gather(monkeypatch):
    x = jnp.asarray(RANDOM.normal(size=(2, 12)), jnp.float32)
    by_matrix, _ = bound(Permutation(3), {}).encode(x)
    monkeypatch.setattr("flowaa.bijectors.mixing._MATRIX_MAX_CHANNELS", 0)
    np.testing.assert_array_equal(bound(Permutation(3), {}).encode(x)[0], by_matrix)


@pytest.mark.parametrize("n_channels", [2, 3, 5])
def test_permutation_is_never_the_identity_and_exchanges_what_it_must(n_channels):
    x = jnp.arange(float(n_channels))[None]
    for seed in range(40):
        z = np.asarray(bound(Permutation(seed), {}).encode(x)[0])[0]
        assert set(z) == set(range(n_channels))
        assert (z != x).any()
        z = np.asarray(bound(Permutation(seed, n_channels // 2), {}).encode(x)[0])[0]
        assert set(z) == set(range(n_channels))
        assert (z[:n_channels // 2] >= n_channels // 2).all()


def test_orthogonal_keeps_lengths_and_has_no_parameters():
    x = jnp.asarray(RANDOM.normal(size=(4, 9)), jnp.float32)
    assert init(Orthogonal(1), x) == {}
    z, _ = bound(Orthogonal(1), {}).encode(x)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), np.linalg.norm(x, axis=1), rtol=1e-5)


def test_invertible_linear_starts_as_a_rotation():
    x = jnp.asarray(RANDOM.normal(size=(4, 6)), jnp.float32)
    params = init(InvertibleLinear(1), x)
    z, log_det = bound(InvertibleLinear(1), params).encode(jnp.eye(6))
    np.testing.assert_allclose(z @ z.T, np.eye(6), atol=1e-5)
    np.testing.assert_allclose(log_det, 0.0, atol=1e-5)


def test_invertible_linear_ignores_what_lies_outside_its_triangles():
    x = jnp.asarray(RANDOM.normal(size=(4, 6)), jnp.float32)
    params = init(InvertibleLinear(1), x)
    z, _ = bound(InvertibleLinear(1), params).encode(x)
    spoiled = {**params, "lower": params["lower"] + np.triu(np.ones((6, 6))),
               "upper": params["upper"] + np.tril(np.ones((6, 6)))}
    np.testing.assert_array_equal(bound(InvertibleLinear(1), spoiled).encode(x)[0], z)
    # P L U, by scipy's own factors of the same matrix.
    weight = bound(InvertibleLinear(1), params).encode(jnp.eye(6))[0].T
    _, lower, _ = scipy.linalg.lu(np.asarray(weight, np.float64))
    np.testing.assert_allclose(params["lower"], np.tril(lower, -1), atol=1e-5)


def channels(shape) -> jax.Array:
    """Channels of other means and scales; the last is constant."""
    x = RANDOM.normal(size=shape) * np.arange(1, shape[-1] + 1) - 5.0
    x[..., -1] = 7.0
    return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize("shape", [(16, 4, 2, 3), (64, 3)])
def test_actnorm_starts_with_zero_mean_and_unit_variance(shape):
    x = channels(shape)
    params = init(ActNorm(), x)
    z, _ = bound(ActNorm(), params).encode(x)
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(z.mean(axes), 0.0, atol=1e-5)
    np.testing.assert_allclose(z.std(axes)[:-1], 1.0, atol=1e-5)
    np.testing.assert_array_equal(z[..., -1], 0.0)  # constant: finite, and not blown up
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_actnorm_does_not_blow_up_a_nearly_constant_channel():
    x = RANDOM.normal(size=(500, 3)) * [30.0, 20.0, 1e-4] + [0.0, 5.0, 7.0]
    params = init(ActNorm(), jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(np.exp(params["log_scale"][:2]), 1 / x.std(0)[:2], rtol=1e-4)
    assert np.exp(params["log_scale"][2]) < 10.0  # 1e4 would be its own
    all_constant = init(ActNorm(), jnp.ones((4, 3)))
    np.testing.assert_array_equal(all_constant["log_scale"], 0.0)


def test_a_chain_starts_each_actnorm_from_the_blocks_before_it():
    x = channels((64, 3))[:, :2]
    chain = Chain((ActNorm(), InvertibleLinear(1), Chain((ActNorm(),))))
    z, _ = bound(chain, init(chain, x)).encode(x)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1.0, atol=1e-5)
