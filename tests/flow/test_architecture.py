"""Architectures change every feature, loop over what repeats, and fit rows of one feature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowaa.bijectors.base import bound
from flowaa.errors import UserError
from flowaa.flow.architecture import Architecture, Stage
from tests.bijectors.checks import random_params

RANDOM = np.random.default_rng(0)


def encode(architecture: Architecture, x: jax.Array) -> jax.Array:
    """z [B, D] under parameters none of which is zero."""
    chain, _ = architecture.build(x.shape[1:])
    shapes = jax.eval_shape(chain.init, jax.random.key(0), x)
    params = random_params(shapes["params"], "float32")
    return jax.jit(lambda x: bound(chain, params).encode(x)[0])(x).reshape(len(x), -1)


def unchanged(x: jax.Array, z: jax.Array) -> int:
    """How many features of z are a feature of x as it was."""
    columns = np.asarray(x).reshape(len(x), -1).T
    return sum(any(np.array_equal(column, old) for old in columns) for column in np.asarray(z).T)


@pytest.mark.parametrize("n_features", [2, 3, 5])
@pytest.mark.parametrize("scan", [False, True])
def test_one_sided_permuted_flows_change_every_feature(n_features, scan):
    x = jnp.asarray(RANDOM.normal(size=(3, n_features)), jnp.float32)
    for seed in range(12):
        architecture = Architecture((Stage("none", 2, 4, 1),), two_sided=False, seed=seed,
                                    law="additive", scan=scan)
        assert unchanged(x, encode(architecture, x)) == 0, seed


@pytest.mark.parametrize("mixing", ["none", "permutation", "orthogonal"])
def test_one_sided_checkerboards_change_every_pixel(mixing):
    x = jnp.asarray(RANDOM.normal(size=(3, 4, 4, 2)), jnp.float32)
    architecture = Architecture((Stage("none", 2, 4, 1),), two_sided=False, mixing=mixing,
                                split="checkerboard", law="additive")
    z = encode(architecture, x)
    assert unchanged(x, z) == 0
    # A mixing of channels hides an unchanged pixel in linear combinations of its own channels.
    moved = x.at[:, 0, 0].add(1.0)
    other = x.at[:, 0, 1].add(1.0)
    for nudged, place in ((moved, (0, 1)), (other, (0, 0))):
        change = (encode(architecture, nudged) - z).reshape(x.shape)
        assert np.abs(change[:, place[0], place[1]]).min(0).max() > 1e-3


@pytest.mark.parametrize(("subnet", "is_seen"), [("convolution", False), ("attention", True)])
def test_attention_sees_the_furthest_pixel_and_convolutions_do_not(subnet, is_seen):
    x = jnp.asarray(RANDOM.normal(size=(3, 8, 8, 4)), jnp.float32)
    architecture = Architecture((Stage("none", 1, 8, 1),), subnet=subnet, mixing="none")
    change = encode(architecture, x.at[:, 0, 0].add(1.0)) - encode(architecture, x)
    assert (np.abs(change.reshape(x.shape)[:, 7, 7]).max() > 1e-6) == is_seen


def test_attention_knows_where_a_pixel_is():
    """Pixels that change places do not just change places in the latent."""
    x = jnp.asarray(RANDOM.normal(size=(3, 4, 4, 4)), jnp.float32)
    architecture = Architecture((Stage("none", 1, 8, 1),), subnet="attention", mixing="none")
    mirrored = encode(architecture, x[:, ::-1]).reshape(x.shape)[:, ::-1]
    assert np.abs(mirrored - encode(architecture, x).reshape(x.shape)).max() > 1e-3


def test_heads_divide_the_width_and_a_table_has_no_pixels():
    architecture = Architecture((Stage("none", 2, 6),), subnet="attention")
    with pytest.raises(UserError, match=r"flow\.n_heads=4 does not divide flow\.width=6"):
        architecture.build((4, 4, 2))
    with pytest.raises(UserError, match=r"flow\.subnet=attention: rows of 4 numbers"):
        architecture.build((4,))


def test_one_block_cannot_change_both_halves():
    with pytest.raises(UserError, match=r"flow\.n_blocks"):
        Architecture((Stage("none", 1, 4),), two_sided=False).build((4,))


@pytest.mark.parametrize("two_sided", [True, False])
def test_cycled_kernels_are_scanned_over_their_period(two_sided):
    stage = Stage("none", 5, 4, 1, kernel_sizes=(1, 3))
    x = jnp.zeros((2, 4, 4, 2))
    scanned = Architecture((stage,), scan=True, two_sided=two_sided)
    chain, _ = scanned.build(x.shape[1:])
    params = jax.eval_shape(chain.init, jax.random.key(0), x)["params"]
    jaxpr = str(jax.make_jaxpr(lambda params: bound(chain, params).encode(x))(params))
    assert "scan[" in jaxpr
    assert "length=2" in jaxpr  # two periods of two, and one block
    unrolled, _ = Architecture((stage,), two_sided=two_sided).build(x.shape[1:])
    again = jax.eval_shape(unrolled.init, jax.random.key(0), x)["params"]
    assert sorted(leaf.shape for leaf in jax.tree.leaves(params)) == sorted(
        leaf.shape for leaf in jax.tree.leaves(again))


def test_rows_of_one_feature_are_bent_monotonically():
    x = jnp.linspace(-6.0, 6.0, 50)[:, None]
    z = np.asarray(encode(Architecture((Stage("none", 3, 4),)), x))[:, 0]
    slope = np.diff(z)
    assert (slope > 0).all()
    assert slope.max() > 1.2 * slope.min()
