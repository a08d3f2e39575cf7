"""What the samplers share: uniform draws that resolve a tail, directions, placing, batches."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.arguments import random_key
from flowaa.errors import UserError
from flowaa.extremes import checks


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


def uniform_directions(key: jax.Array, n: int, d: int) -> jax.Array:
    """Unit vectors [n, d], uniform on the sphere."""
    if d == 1:  # a normal draw is exactly zero once in 8 million, and has no direction then
        return jax.random.rademacher(key, (n, 1), jnp.result_type(float))
    normal = jax.random.normal(key, (n, d))
    return normal / jnp.linalg.norm(normal, axis=1, keepdims=True)


def place(z: jax.Array, mean: ArrayLike, scale: ArrayLike) -> jax.Array:
    """Puts standard draws in a class's Gaussian: mean + scale · z, row by row.

    Args:
        z: [n, d] draws in standardised coordinates.
        mean: centre of each row's class: [n, d], or [d] or a number for all rows alike.
        scale: deviation of each coordinate in each row's class, likewise.

    Returns:
        [n, d] draws; radii are Mahalanobis distances from the class's centre.
    """
    return jnp.broadcast_to(mean, z.shape) + jnp.broadcast_to(scale, z.shape) * z


def stream(
    key: jax.Array,
    n: int,
    sampler: Callable[[jax.Array, int], jax.Array],
    *,
    batch_size: int = 1024,
) -> Iterator[jax.Array]:
    """Draws batch by batch, so that memory holds one batch whatever n is.

    Batch i is drawn with `fold_in(key, i)`, so it does not depend on the number of batches.

    Args:
        key: a random key.
        n: draws altogether.
        sampler: draws so many rows from a key, e.g. `partial(sample_shell, d=3072, quantile=0.99)`;
            always asked for `batch_size` rows, so that it compiles once.
        batch_size: rows a batch.

    Returns:
        Iterator of [batch_size, ...]; the last batch is shorter where n asks for it.

    Raises:
        UserError: if n < 1 or batch_size < 1, or the sampler gives another number of rows.
    """
    n = checks.require_count(n, "n, the number of draws,")
    batch_size = checks.require_count(batch_size, "batch_size")
    key = random_key(key)
    if not callable(sampler):
        raise UserError(f"sampler is {checks.shown(sampler)}; give a function of a key and a "
                        "number of rows")

    def batch(index: int) -> jax.Array:
        rows = sampler(jax.random.fold_in(key, index), batch_size)
        if jnp.shape(rows)[:1] != (batch_size,):
            raise UserError(f"sampler gave the shape {jnp.shape(rows)}; asked for {batch_size} "
                            "rows it must give [batch_size, ...]")
        return rows[:n - index * batch_size]

    return (batch(i) for i in range(-(-n // batch_size)))
