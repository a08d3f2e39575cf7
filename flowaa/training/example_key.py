"""Random keys for a batch whose examples lie on several devices.

A draw of shape [B, ...] from such a key has rows that depend on the key and on the examples' ids
alone: a masking network draws the same masks for the same examples, on one device or on eight.
"""

import jax
import jax.extend.random
import jax.numpy as jnp

Array = jax.Array

# The key's data are three words: a threefry key and the id of the first example.


def example_key(key: Array, first_id: Array | int) -> Array:
    """A key for the examples `first_id`, `first_id` + 1, …, one for each row of a draw."""
    words = jax.random.bits(key, (2,), jnp.uint32)
    return jax.random.wrap_key_data(_join(words, jnp.uint32(first_id)), impl=_EXAMPLE_KEY)


def _threefry(words: Array) -> Array:
    return jax.random.wrap_key_data(words[:2], impl="threefry2x32")


def _join(words: Array, first_id: Array) -> Array:
    """Words [..., 2] and an id [] as key data [..., 3]."""
    ids = jnp.broadcast_to(first_id, (*words.shape[:-1], 1))
    return jnp.concatenate([words, ids], axis=-1)


def _seed(seed: Array) -> Array:
    return _join(jax.random.key_data(jax.random.key(seed, impl="threefry2x32")), jnp.uint32(0))


def _split(words: Array, shape: tuple[int, ...]) -> Array:
    keys = jax.random.split(_threefry(words), shape)
    return _join(jax.random.key_data(keys), words[2])


def _fold_in(words: Array, data: Array | int) -> Array:
    return _join(jax.random.key_data(jax.random.fold_in(_threefry(words), data)), words[2])


def _random_bits(words: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    ids = words[2] + jnp.arange(shape[0], dtype=jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(_threefry(words), ids)
    return jax.vmap(lambda key: jax.random.bits(key, shape[1:], f"uint{bit_width}"))(keys)


_EXAMPLE_KEY = jax.extend.random.define_prng_impl(
    key_shape=(3,), seed=_seed, split=_split, random_bits=_random_bits, fold_in=_fold_in,
    name="flowaa_example_key")
