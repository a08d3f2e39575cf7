"""Directions, and where a draw of the standard normal law goes in a class's own Gaussian."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.errors import UserError


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

    Raises:
        UserError: if mean or scale has another shape.
    """
    for name, value in (("mean", mean), ("scale", scale)):
        if jnp.shape(value) not in ((), z.shape, z.shape[1:]):
            raise UserError(f"{name} has the shape {jnp.shape(value)}; for {z.shape[0]} draws of "
                            f"{z.shape[1]} dimensions it must be a number, [d] or [n, d]")
    return jnp.broadcast_to(mean, z.shape) + jnp.broadcast_to(scale, z.shape) * z
