"""The layers of deep archetypal analysis, and their losses against the sums of the equations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from flowaa.archetypes.deep import losses
from flowaa.archetypes.deep.heads import ArchetypeHeads, noisy_weights
from flowaa.archetypes.simplex import regular_vertices

K, D, N = 3, 5, 12


@pytest.fixture
def t():
    return jnp.asarray(np.random.default_rng(0).normal(size=(N, D)), jnp.float32)


def init(heads, t, label=None, by=0.3):
    @jax.jit
    def draw():
        params = heads.init(jax.random.key(0), t, label)["params"]
        return jax.tree.map(lambda leaf: leaf + by * jax.random.normal(jax.random.key(leaf.size),
                                                                       leaf.shape), params)

    return draw()


def apply(heads, params, method, *args):
    return jax.jit(functools.partial(heads.apply, method=method))({"params": params}, *args)


def test_weights_are_the_softmax_of_a_linear_map(t):
    heads = ArchetypeHeads(K, D)
    params = init(heads, t)
    layer = params["to_weights"]
    expected = scipy.special.softmax(t @ layer["kernel"][0] + layer["bias"][0], axis=1)
    weights = apply(heads, params, "weights", t)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    back = params["to_latent"]
    expected = weights @ regular_vertices(K) @ back["kernel"][0] + back["bias"][0]
    np.testing.assert_allclose(apply(heads, params, "latent", weights), expected, atol=1e-6)


def test_centre_of_the_simplex_decodes_to_the_bias(t):
    heads = ArchetypeHeads(K, D)
    params = init(heads, t)
    centre = apply(heads, params, "latent", jnp.full((1, K), 1 / K))
    np.testing.assert_allclose(centre[0], params["to_latent"]["bias"][0], atol=1e-6)


def test_overshoot_lets_weights_leave_the_simplex_as_far_as_it_says(t):
    heads = ArchetypeHeads(K, D, overshoot=0.1)
    weights = apply(heads, init(heads, t), "weights", 1e4 * t)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose([weights.min(), weights.max()], [-0.1, 1.2], atol=1e-5)


def test_prototypes_weight_goes_to_all_archetypes_evenly(t):
    heads = ArchetypeHeads(K, D, prototype=True)
    params = init(heads, t)
    params["to_weights"]["bias"] = jnp.array([[0.0, 0, 0, 50.0]])
    np.testing.assert_allclose(apply(heads, params, "weights", t), 1 / K, atol=1e-6)
    params["to_weights"]["bias"] = jnp.array([[0.0, 50.0, 0, 0]])
    np.testing.assert_allclose(apply(heads, params, "weights", t)[:, 1], 1.0, atol=1e-6)


def test_one_set_a_class_is_that_many_heads(t):
    """Each class's examples go through that class's weights, as through heads of its own."""
    label = jnp.arange(N) % 2
    heads = ArchetypeHeads(K, D, n_classes=2)
    params = init(heads, t, label)
    weights, latent = jax.jit(heads.apply)({"params": params}, t, label)
    alone = jax.jit(ArchetypeHeads(K, D).apply)
    for one in range(2):
        own = jax.tree.map(lambda leaf, one=one: leaf[one:one + 1], params)
        own_weights, own_latent = alone({"params": own}, t[label == one])
        np.testing.assert_allclose(weights[label == one], own_weights, atol=1e-6)
        np.testing.assert_allclose(latent[label == one], own_latent, atol=1e-5)


def test_weight_norm_learns_lengths_apart_from_directions(t):
    heads = ArchetypeHeads(K, D, weight_norm=True)
    params = jax.jit(heads.init)(jax.random.key(0), t)["params"]
    before = apply(heads, params, "weights", t)
    plain = {name: {part: leaf for part, leaf in layer.items() if part != "length"}
             for name, layer in params.items()}
    np.testing.assert_allclose(apply(ArchetypeHeads(K, D), plain, "weights", t), before, atol=1e-6)
    params["to_weights"]["kernel"] *= 7.0  # a length that is not used
    np.testing.assert_allclose(apply(heads, params, "weights", t), before, atol=1e-6)


def test_learned_vertices_start_regular(t):
    heads = ArchetypeHeads(K, D, learned_vertices=True)
    params = jax.jit(heads.init)(jax.random.key(0), t)["params"]
    np.testing.assert_allclose(params["vertices"], regular_vertices(K), atol=1e-6)
    params["vertices"] += 1.0
    np.testing.assert_allclose(apply(heads, params, "vertices"), params["vertices"])
    assert "vertices" not in jax.eval_shape(
        ArchetypeHeads(K, D).init, jax.random.key(0), t)["params"]


def test_noise_leaves_the_sum_of_weights():
    weights = jnp.full((1000, K), 1 / K)
    noisy = noisy_weights(weights, jax.random.normal(jax.random.key(0), weights.shape), 0.1)
    np.testing.assert_allclose(noisy.sum(1), 1.0, atol=1e-6)
    # Taking the mean away leaves (1 - 1/K) of the variance.
    assert float(noisy.std()) == pytest.approx(0.1 * np.sqrt(1 - 1 / K), rel=0.05)


def test_archetype_loss_is_the_equations(t):
    random = np.random.default_rng(1)
    logits = jnp.asarray(random.normal(size=(N, K)), jnp.float32)
    weights = jnp.asarray(random.dirichlet(np.ones(K), N), jnp.float32)
    z = jnp.asarray(regular_vertices(K), jnp.float32)
    b = scipy.special.softmax(np.asarray(logits, np.float64), axis=0).T
    expected = np.mean([np.linalg.norm(sum(b[j, i] * weights[i] @ z for i in range(N)) - z[j])
                        for j in range(K)])
    assert float(losses.archetype_loss(logits, weights, z)) == pytest.approx(expected, rel=1e-5)


def test_archetype_loss_is_zero_and_its_gradient_finite_where_examples_are_archetypes():
    """The norm's gradient at zero is NaN; see `losses.safe_norm`."""
    weights, z = jnp.eye(K), jnp.asarray(regular_vertices(K), jnp.float32)
    logits = 200.0 * jnp.eye(K)
    value, gradients = jax.jit(jax.value_and_grad(losses.archetype_loss, argnums=(0, 1, 2)))(
        logits, weights, z)
    assert float(value) == 0.0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0.0)


def test_safe_norm_is_the_norm_and_its_gradient():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    np.testing.assert_allclose(losses.safe_norm(x), np.linalg.norm(x, axis=1), rtol=1e-6)
    gradient = jax.grad(lambda x: losses.safe_norm(x).sum())(x)
    np.testing.assert_allclose(gradient, x / np.linalg.norm(x, axis=1, keepdims=True), rtol=1e-5)


def test_class_loss_is_the_cross_entropy():
    logits = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    label = np.arange(N) % 4
    expected = -np.log(scipy.special.softmax(logits, axis=1)[np.arange(N), label]).mean()
    found = losses.class_loss(jnp.asarray(logits), jnp.asarray(label))
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)


def test_prototype_loss_pulls_each_centre_to_its_classs_mean(t):
    label = np.arange(N) % 2
    means = np.stack([t[label == 0].mean(0), t[label == 1].mean(0)])
    group = jax.nn.one_hot(label, 2)
    assert float(losses.prototype_loss(jnp.asarray(means), t, group)) == pytest.approx(0, abs=1e-10)
    off = jnp.asarray(means).at[1].add(3.0)
    assert float(losses.prototype_loss(off, t, group)) == pytest.approx(4.5, rel=1e-5)
    third = jnp.concatenate([off, 100.0 * jnp.ones((1, D))])  # a class without examples
    found = losses.prototype_loss(third, t, jax.nn.one_hot(label, 3))
    assert float(found) == pytest.approx(4.5, rel=1e-5)
    one = jnp.ones((N, 1)).at[N // 2:].set(0.0)  # rows of no group do not count
    found = losses.prototype_loss(t[:N // 2].mean(0)[None] + 2.0, t, one)
    assert float(found) == pytest.approx(4.0, rel=1e-5)


def test_volume_loss_is_the_log_of_the_volume_per_edge():
    """Twice as large: log 2 more. A right simplex with legs 2, 3, 4 has 24 times the unit's."""
    legs = jnp.concatenate([jnp.zeros((1, 3)), jnp.diag(jnp.array([2.0, 3, 4]))])[None]
    unit = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3)])[None]
    volume_loss = jax.jit(losses.volume_loss)
    found = volume_loss(legs) - volume_loss(unit)
    assert float(found) == pytest.approx(np.log(24) / 3, rel=1e-4)
    found = volume_loss(2 * legs) - volume_loss(legs)
    assert float(found) == pytest.approx(np.log(2), rel=1e-4)
    gradient = jax.jit(jax.grad(losses.volume_loss))(jnp.zeros((1, 3, 4)).at[0, 0, 0].set(1.0))
    assert np.isfinite(gradient).all()
