"""The thesis's architecture: its size, and how well deep chains invert in float32."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import thesis
from flowaa.bijectors.base import bound
from flowaa.config.flow import build_architecture
from flowaa.flow.architecture import Architecture, Stage
from flowaa.training.state import n_params

FREIA_COUNT = 8_041_968  # of the same network
FREIA_PERMUTATIONS = 2 * (4 * 12 + 4 * 48 + 2 * 3072)  # each with its inverse, as parameters
FREIA_SHUFFLES = 12 * 4 + 48 * 4  # the kernels of its two pixel shuffles, as parameters


def thesis_architecture() -> Architecture:
    return build_architecture(thesis.get_config())


def hundred_blocks() -> Architecture:
    """Two-sided affine blocks, half of them convolutional."""
    return Architecture((Stage("squeeze", n_blocks=50, width=16),
                         Stage("flatten", n_blocks=50, width=64)), scan=True)


DEEP = {"thesis": (thesis_architecture, (32, 32, 3)), "100_blocks": (hundred_blocks, (8, 8, 3))}


@functools.cache
def shapes_of(name: str) -> tuple[Any, Any]:
    """The chain and the shapes of its parameters."""
    make, shape = DEEP[name]
    chain, _ = make().build(shape)
    x = jnp.zeros((1, *shape))
    return chain, jax.eval_shape(chain.init, jax.random.key(0), x)["params"]


def torch_start(shapes: Any, output_scale: float = 1.0) -> Any:
    """All layers as torch starts them (and FrEIA with it): uniform within ±1 / sqrt(fan-in).

    No layer is zero, the output layers neither; those are multiplied by `output_scale`.
    """
    random = np.random.default_rng(0)

    def draw(layers: Any, name: str = "") -> Any:
        if "kernel" not in layers:
            return {key: draw(value, key) for key, value in layers.items()}
        bound = np.prod(layers["kernel"].shape[:-1]) ** -0.5
        bound *= output_scale if name.endswith("_2") else 1.0  # depth 2: the third layer
        return {key: jnp.asarray(random.uniform(-bound, bound, leaf.shape), jnp.float32)
                for key, leaf in layers.items()}

    return draw(shapes)


def test_parameter_count_is_freias_without_its_constants() -> None:
    _, shapes = shapes_of("thesis")
    assert (FREIA_PERMUTATIONS, FREIA_SHUFFLES) == (12_768, 240)
    assert n_params(shapes) == FREIA_COUNT - FREIA_PERMUTATIONS - FREIA_SHUFFLES == 8_028_960


# A hundred random blocks grow exponentially what is far out: as torch starts them, 10 sigma becomes
# 3e42 in exact arithmetic, more than float32 can hold, so their output layers are made smaller.
FINITE_OUTPUT_SCALE = {"thesis": 1.0, "100_blocks": 0.2}


@pytest.mark.parametrize("name", DEEP)
def test_deep_chain_inverts_in_float32(name: str) -> None:
    chain, shapes = shapes_of(name)
    encode = jax.jit(lambda params, x: bound(chain, params).encode(x))
    decode = jax.jit(lambda params, z: bound(chain, params).decode(z))
    normal = np.random.default_rng(1).normal(size=(4, *DEEP[name][1]))

    params = torch_start(shapes)
    x = jnp.asarray(3.0 * normal / np.abs(normal).max(), jnp.float32)
    z, log_det = encode(params, x)
    assert np.abs(log_det).min() > 1.0  # it does something
    back, log_det_back = decode(params, z)
    assert np.abs(back - x).max() <= 1e-4
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-3)

    params = torch_start(shapes, FINITE_OUTPUT_SCALE[name])
    far = jnp.asarray(10.0 * normal, jnp.float32)
    for values in (*encode(params, far), *decode(params, far.reshape(z.shape))):
        assert np.isfinite(values).all()
