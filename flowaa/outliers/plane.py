"""The plane through a run's archetypes in its latent space, and outliers beyond their simplex.

The decoder of archetype weights is affine: weights A decode to the latent A C, C the corners. So
each latent z has coordinates in the corners' plane, weights that sum to one and may be negative;
what the plane leaves open is drawn from the latents' own law (thesis 3.2).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa import extremes

Array = jax.Array


class ArchetypePlane(NamedTuple):
    """The corners of G sets (one, or one a class), and coordinates in their planes."""

    corners: Array  # [G, K, D] latents of the archetypes
    basis: Array  # [G, K − 1, D] orthonormal, P
    to_weights: Array  # [G, K − 1, K]: weights = 1/K + (z − centre) Pᵀ · to_weights

    @property
    def n_archetypes(self) -> int:
        """K."""
        return self.corners.shape[1]


def archetype_plane(corners: Array) -> ArchetypePlane:
    """The plane of corners [G, K, D], which must not lie on a line of fewer dimensions."""
    edges = corners - corners.mean(1, keepdims=True)
    # Of K edges that sum to zero, K − 1 span the plane.
    basis = jnp.linalg.svd(edges, full_matrices=False)[2][:, : corners.shape[1] - 1]
    return ArchetypePlane(corners, basis,
                          jnp.linalg.pinv(jnp.einsum("gkd,gld->gkl", edges, basis)))


def coordinates(plane: ArchetypePlane, z: Array, label: Array | None) -> Array:
    """Weights [n, K] of latents z [n, D] projected on the plane; rows sum to one."""
    place = _places(plane, label, len(z))
    offset = z - plane.corners.mean(1)[place]
    along = jnp.einsum("nd,nld->nl", offset, plane.basis[place])
    return 1 / plane.n_archetypes + jnp.einsum("nl,nlk->nk", along, plane.to_weights[place])


def draw_exterior(
    plane: ArchetypePlane, key: Array, n: int, *, extremeness: ArrayLike, label: Array | None,
    mean: ArrayLike, scale: ArrayLike, concentration: ArrayLike = 1.0,
) -> Array:
    """Latents [n, D] whose coordinates lie as far beyond the simplex as one draw in many does.

    Args:
        plane: of the archetypes.
        key: a random key.
        n: draws.
        extremeness: return period in draws of the coordinates' gauge, at least 1, a number or
            [n]. Where one latent in so many does not even leave the simplex, draws lie just
            outside it.
        label: [n] classes, or None where there is one set of corners.
        mean: of the latents' law, a number or [n, D].
        scale: its deviations, likewise.
        concentration: of the directions, see `extremes.sample_exterior`.

    Raises:
        UserError: extremeness or concentration is out of range.
    """
    weight_key, rest_key = jax.random.split(key)
    k, d = plane.n_archetypes, plane.corners.shape[-1]
    place = _places(plane, label, n)
    basis = plane.basis[place]
    mean = jnp.broadcast_to(jnp.asarray(mean, jnp.float32), (n, d))
    scale = jnp.broadcast_to(jnp.asarray(scale, jnp.float32), (n, d))
    gauge = extremes.gauge_return_level(extremeness, *_gauge_moments(plane, place, mean, scale))
    weights = extremes.sample_exterior(
        weight_key, n, k, jnp.maximum(gauge, _JUST_OUTSIDE),
        concentration=concentration)
    target = jnp.einsum("nk,nkd,nld->nl", weights, plane.corners[place], basis)

    def complete(key: Array, target: Array, basis: Array, mean: Array, scale: Array) -> Array:
        return extremes.sample_given_projection(
            key, target[None], basis, mean=mean, scale=scale)[0]

    return jax.vmap(complete)(jax.random.split(rest_key, n), target, basis, mean, scale)


def gauge_return_period(
    plane: ArchetypePlane, z: Array, *, label: Array | None, mean: ArrayLike, scale: ArrayLike,
) -> Array:
    """Draws [n] until one has as large a gauge as latents z [n, D]; the inverse of the dial.

    Arguments as in `draw_exterior`. 1 / Σᵢ P(K·(1/K − aᵢ) > gauge), and at least 1.
    """
    mean, scale = (jnp.broadcast_to(jnp.asarray(value, jnp.float32), z.shape)
                   for value in (mean, scale))
    means, deviations = _gauge_moments(plane, _places(plane, label, len(z)), mean, scale)
    gauge = extremes.gauge(coordinates(plane, z, label))
    log_chances = jax.scipy.stats.norm.logsf((gauge[:, None] - means) / deviations)
    return jnp.exp(jnp.maximum(-jax.nn.logsumexp(log_chances, axis=1), 0.0))


def _gauge_moments(
    plane: ArchetypePlane, place: Array, mean: Array, scale: Array
) -> tuple[Array, Array]:
    """Means and deviations [n, K] of K·(1/K − aᵢ), linear functions of normal latents."""
    along = -plane.n_archetypes * jnp.einsum(
        "nlk,nld->nkd", plane.to_weights[place], plane.basis[place])
    means = jnp.einsum("nkd,nd->nk", along, mean - plane.corners.mean(1)[place])
    return means, jnp.linalg.norm(along * scale[:, None], axis=-1)


_JUST_OUTSIDE = 1.0 + 1e-3  # a gauge; 1 is the boundary


def _places(plane: ArchetypePlane, label: Array | None, n: int) -> Array:
    """Which set of corners each of n rows has."""
    if plane.corners.shape[0] == 1 or label is None:
        return jnp.zeros(n, jnp.int32)
    return label
