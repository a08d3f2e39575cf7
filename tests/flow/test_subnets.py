"""Subnets in bfloat16, under dropout, and given a context."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowaa.bijectors.base import bound
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.base_distribution import StandardNormal
from flowaa.flow.flow import Flow
from flowaa.flow.subnets import ConvSubnet, DenseSubnet
from tests.bijectors.checks import random_params


def test_bfloat16_subnets_leave_couplings_in_float32():
    """The subnets see the same input both ways, so that their rounding does no harm."""
    chain, _ = Architecture((Stage("none", 4, 16),), subnet_dtype="bfloat16").build((6,))
    x = jax.random.normal(jax.random.key(0), (32, 6))
    params = jax.jit(chain.init)(jax.random.key(1), x)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert "bf16" in str(jax.make_jaxpr(lambda x: bound(chain, params).encode(x))(x))
    z, log_det = jax.jit(lambda x: bound(chain, params).encode(x))(x)
    assert z.dtype == log_det.dtype == jnp.float32
    back, log_det_back = jax.jit(lambda z: bound(chain, params).decode(z))(z)
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-4)


def test_the_log_volume_of_a_bfloat16_coupling_is_that_of_its_own_map():
    """Slopes and their logarithms are of one rounding: a slope in bfloat16 is off by 0.004."""
    chain, _ = Architecture((Stage("none", 1, 16),), subnet_dtype="bfloat16").build((6,))
    x = jax.random.normal(jax.random.key(0), (32, 6))
    params = jax.tree.map(lambda leaf: leaf + 0.03,
                          jax.jit(chain.init)(jax.random.key(1), x)["params"])
    jacobians = jax.vmap(jax.jacfwd(lambda x: bound(chain, params).encode(x[None])[0][0]))(x)
    log_det = bound(chain, params).encode(x)[1]
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobians)[1], atol=1e-4)


@pytest.mark.parametrize(("subnet", "shape"), [
    (DenseSubnet(40, depth=1, dropout_rate=0.25), (500, 3)),
    (ConvSubnet(40, depth=1, kernel_size=1, dropout_rate=0.25), (500, 2, 2, 3))])
def test_dropout_leaves_out_its_share_of_hidden_features_and_keeps_the_mean(subnet, shape):
    """With output weights of 1 / 40 the output is the mean of the hidden features."""
    x = jnp.abs(jax.random.normal(jax.random.key(0), shape))
    init = functools.partial(subnet.init, n_outputs=1)
    shapes = jax.eval_shape(init, jax.random.key(1), x)["params"]
    hidden, output = sorted(shapes)
    params = {hidden: {"kernel": np.ones(shapes[hidden]["kernel"].shape, np.float32),
                       "bias": np.zeros(40, np.float32)},
              output: {"kernel": np.full(shapes[output]["kernel"].shape, 1 / 40, np.float32),
                       "bias": np.zeros(1, np.float32)}}
    exact, dropped = (
        jax.jit(lambda x, key=key: bound(subnet, params, dropout_key=key)(x, n_outputs=1))(x)
        for key in (None, jax.random.key(2)))
    ratio = np.asarray(dropped / exact)  # the share that is kept, over 1 - rate
    np.testing.assert_allclose(40 * 0.75 * ratio, np.round(40 * 0.75 * ratio), atol=1e-3)
    assert ratio.mean() == pytest.approx(1.0, abs=0.02)
    assert ratio.std() == pytest.approx((0.25 / 0.75 / 40) ** 0.5, rel=0.2)


def test_blocks_drop_features_of_their_own():
    """Two equal blocks one after the other have other masks, else the second would undo nothing."""
    architecture = Architecture((Stage("none", 2, 64, 1),), law="additive", mixing="none",
                                two_sided=False, dropout=0.5)
    chain, _ = architecture.build((2,))
    x = jnp.tile(jnp.asarray([[1.0, 1.0]]), (8, 1))
    shapes = jax.eval_shape(chain.init, jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)
    z, _ = jax.jit(lambda x: bound(chain, params, dropout_key=jax.random.key(3)).encode(x))(x)
    # Block 1 adds m(x_2) to x_1; with its masks block 2 would add m(z_1), the same masks scaled.
    kept = (np.asarray(z - x) - 0.1) / 0.1
    first = kept[:, 0] / (2 * (0.1 * 1.0 + 0.1))
    second = kept[:, 1] / (2 * (0.1 * np.asarray(z)[:, 0] + 0.1))
    np.testing.assert_allclose(first, np.round(first), atol=1e-3)
    np.testing.assert_allclose(second, np.round(second), atol=1e-3)
    assert (np.round(first) != np.round(second)).any()


def test_a_flow_sees_its_context_in_deviations_beside_the_label():
    architecture = Architecture((Stage("none", 2, 8),))
    chain, latent_shape = architecture.build((3,))

    def flow(mean, std):
        return Flow(chain, StandardNormal(3), (3,), latent_shape, 2, mean, std)

    u, label = jax.random.normal(jax.random.key(0), (4, 3)), jnp.asarray([0, 1, 0, 1])
    context = jax.random.normal(jax.random.key(1), (4, 2))
    shapes = jax.eval_shape(flow((0, 0), (1, 1)).init, jax.random.key(0), u, label, context)
    params = random_params(shapes["params"], "float32")
    plain, scaled = (
        jax.jit(lambda *given, flow=flow: bound(flow, params).log_prob(*given))
        for flow in (flow((0, 0), (1, 1)), flow((5.0, -1.0), (10.0, 0.1))))
    wanted = plain(u, label, context)
    given = context * jnp.asarray([10.0, 0.1]) + jnp.asarray([5.0, -1.0])
    np.testing.assert_allclose(scaled(u, label, given), wanted, rtol=1e-4)
    for other in (plain(u, 1 - label, context), plain(u, label, -context)):
        assert (np.abs(np.asarray(other - wanted)) > 1e-4).all()
