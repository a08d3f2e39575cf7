"""Reversible and scanned chains give the stored chain's gradients, in less memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowaa.bijectors.base import bound
from flowaa.flow import cost
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.base_distribution import StandardNormal
from flowaa.flow.flow import Flow
from flowaa.flow.reversibility import measure_reversibility, with_memory, worst_block

_STAGES = (Stage("squeeze", 2, 4, 1, (3,), 0.5), Stage("flatten", 2, 8, 1))


def flow_of(architecture: Architecture, shape: tuple[int, ...], n_classes: int = 0) -> Flow:
    chain, latent_shape = architecture.build(shape)
    return Flow(chain, StandardNormal(int(np.prod(shape))), shape, latent_shape, n_classes)


def random_params(flow: Flow, label: jax.Array | None = None, scale: float = 0.1):
    @jax.jit  # as one program: compiled one by one, its operations take longest
    def draw():
        params = flow.init(jax.random.key(0), jnp.zeros((3, *flow.shape)), label)["params"]
        leaves, structure = jax.tree.flatten(params)
        keys = (jax.random.fold_in(jax.random.key(1), index) for index in range(len(leaves)))
        return jax.tree.unflatten(structure, [
            leaf + scale * jax.random.normal(key, leaf.shape)
            for key, leaf in zip(keys, leaves, strict=True)])

    return draw()


def gradient(flow: Flow, params, x, label=None, dropout_key=None):
    def loss(params, x):
        return -bound(flow, params, dropout_key=dropout_key).log_prob(x, label).mean()

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(params, x)


def relative_error(found, expected) -> float:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)


def test_scanned_reversible_gradients_are_those_of_the_stored_chain():
    architecture = Architecture(_STAGES, actnorm=True, mixing="orthogonal", dropout=0.3, scan=True)
    label = jnp.array([0, 2, 1])
    flow = flow_of(architecture, (4, 4, 2), n_classes=3)
    params = random_params(flow, label)
    x = jax.random.normal(jax.random.key(2), (3, 4, 4, 2))
    key = jax.random.key(3)
    stored = gradient(flow, params, x, label, key)
    reversible = gradient(with_memory(flow, "reversible"), params, x, label, key)
    assert relative_error(reversible, stored) < 1e-5


def test_scanned_chain_equals_the_same_blocks_unrolled():
    scanned = flow_of(Architecture((Stage("none", 3, 8, 1),), scan=True), (6,))
    unrolled = dataclasses.replace(
        scanned, bijector=dataclasses.replace(scanned.bijector, scan=False)
    )
    params = random_params(scanned)
    x = jax.random.normal(jax.random.key(2), (3, 6))
    np.testing.assert_allclose(
        jax.jit(lambda x: bound(scanned, params).log_prob(x))(x),
        jax.jit(lambda x: bound(unrolled, params).log_prob(x))(x), rtol=1e-6
    )
    chain, unrolled_chain = scanned.bijector, unrolled.bijector
    for method in ("encode", "decode"):

        def apply(x, chain=chain, method=method):
            return getattr(bound(chain, params["bijector"]), method)(x)

        unrolled_apply = functools.partial(apply, chain=unrolled_chain)
        for found, wanted in zip(jax.jit(apply)(x), jax.jit(unrolled_apply)(x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        assert "scan" in str(jax.make_jaxpr(apply)(x))


def test_reversible_memory_does_not_grow_with_depth():
    def temp_bytes(n_blocks: int, memory: str) -> int:
        stage = Stage("none", n_blocks, 64, 1)
        flow = with_memory(flow_of(Architecture((stage,), mixing="none"), (64,)), memory)
        params = jax.eval_shape(lambda: random_params(flow))
        return cost.compiled_temp_bytes(flow, params, 512)

    assert temp_bytes(16, "reversible") < 1.3 * temp_bytes(4, "reversible")
    assert temp_bytes(16, "stored") > 2.5 * temp_bytes(4, "stored")


def test_trusted_where_well_conditioned_and_the_bad_block_is_named():
    flow = flow_of(Architecture((Stage("none", 4, 8),), mixing="none", clamp=30.0), (6,))
    params = random_params(flow, scale=0.01)
    x = jax.random.normal(jax.random.key(2), (8, 6))
    measure = jax.jit(lambda params: measure_reversibility(flow, params, x, None))
    good = measure(params)
    assert good.gradient_cosine > 0.9999
    assert good.reconstruction_error < 1e-4
    # Block 2 multiplies by exp(-24) and adds 1: float32 cannot tell its outputs apart.
    theta = params["bijector"]["blocks_2"]["subnets_0"]["Dense_2"]["bias"]
    params["bijector"]["blocks_2"]["subnets_0"]["Dense_2"]["bias"] = theta.at[:3].set(-60.0).at[
        3:].set(1.0)
    bad = measure(params)
    assert bad.reconstruction_error > 0.1
    assert worst_block(flow, bad) == "block 2 (Coupling)"


def test_flops_are_those_of_the_layers():
    flow = flow_of(Architecture((Stage("none", 2, 16, 1, (3,)),), mixing="none"), (4, 4, 6))
    params = jax.eval_shape(lambda: random_params(flow))
    # Two-sided blocks of two subnets: 3 -> 16 -> 6 channels, 3x3 kernels at 16 pixels.
    forward = 2 * 2 * 2 * (3 * 16 + 16 * 6) * 9 * 16
    found = cost.gradient_flops(with_memory(flow, "stored"), params, 5) / 5
    # The gradient of the very first convolution's input is not needed.
    assert 2.8 * forward < found <= 3.0 * forward
    assert found == pytest.approx(3 * forward - 2 * 3 * 16 * 9 * 16)


def test_memory_is_a_line_in_the_batch():
    flow = flow_of(Architecture((Stage("none", 3, 16),)), (4, 4, 6))
    import optax

    found = cost.step_cost(with_memory(flow, "reversible"), optax.adam(1e-3), (16, 48))
    params = jax.eval_shape(lambda: random_params(flow))
    exact = cost.compiled_temp_bytes(with_memory(flow, "reversible"), params, 128)
    assert found.temp_bytes(128) == pytest.approx(exact, rel=0.1)
    batch = found.largest_batch(2**30)
    assert found.state_bytes + found.temp_bytes(batch) <= 2**30
    assert found.state_bytes + found.temp_bytes(batch + 1) > 2**30
