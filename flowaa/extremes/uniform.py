"""Uniform numbers that resolve a tail: float32 can hold a probability of 1e-12, so draw it."""

import jax
import jax.numpy as jnp


def uniform_open(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Uniform draws strictly between 0 and 1, fine near 0.

    `jax.random.uniform` returns multiples of 2⁻²³ in float32, zero among them: the logarithm of
    such a draw is −inf once in 8 million, and nothing lies between. Here a second draw fills the
    gap between the first one's steps, so that values down to 2⁻⁴⁶ occur as often as they should.

    Args:
        key: a random key.
        shape: shape of the result.

    Returns:
        Array of that shape in the default float type.
    """
    coarse_key, fine_key = jax.random.split(key)
    coarse = jax.random.uniform(coarse_key, shape)
    limits = jnp.finfo(coarse.dtype)
    fine = jax.random.uniform(fine_key, shape)
    return jnp.clip(coarse + limits.eps * fine, limits.tiny, 1 - limits.epsneg)
