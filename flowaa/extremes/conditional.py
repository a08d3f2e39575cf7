"""Completing archetype coordinates to whole latent vectors.

Archetype coordinates are a few linear functions y = P z of the latent vector z. What they leave
open is drawn from the latent law given them, so that an outlier in the archetypes' plane is an
ordinary draw in every other respect.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes.placement import place


@jax.jit
def sample_given_projection(
    key: jax.Array,
    target: jax.Array,
    projection: jax.Array,
    *,
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> jax.Array:
    """Draws of a normal law with independent coordinates, given linear functions of them.

    A free draw z is moved onto P z = y along the directions in which it varies:
    z + Σ Pᵀ (P Σ Pᵀ)⁻¹ (y − P z) has the conditional law exactly (Matheron's rule; Hoffman and
    Ribak 1991).

    Args:
        key: a random key.
        target: [n, L] the values y that are given.
        projection: [L, D] the linear functions P, of full rank; rows of the identity where the
            given values are coordinates themselves.
        mean: of the normal law, [n, D] (each row's class), [D] or a number.
        scale: deviations of the coordinates, likewise, above 0.

    Returns:
        z [n, D] with P z = y.

    Raises:
        UserError: if the shapes don't fit.
    """
    n, n_given = target.shape
    if projection.ndim != 2 or projection.shape[0] != n_given:
        raise UserError(f"projection has the shape {projection.shape}; for targets of "
                        f"{n_given} values it must be [{n_given}, D]")
    free = place(jax.random.normal(key, (n, projection.shape[1])), mean, scale)
    variance = jnp.broadcast_to(scale, free.shape) ** 2
    highest = jax.lax.Precision.HIGHEST  # accelerators multiply in half precision by default
    missing = target - jnp.einsum("ld,nd->nl", projection, free, precision=highest)
    gram = jnp.einsum("ld,nd,md->nlm", projection, variance, projection, precision=highest)
    weights = jnp.linalg.solve(gram, missing[:, :, None])[:, :, 0]
    return free + variance * jnp.einsum("ld,nl->nd", projection, weights, precision=highest)
