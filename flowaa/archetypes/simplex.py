"""The simplex whose vertices are the archetypes: weights of its vertices, points, and ways between.

Weights [..., K] sum to one; those of points outside the simplex leave [0, 1]. Points [..., L] are
Σ_j a_j z_j (thesis eq. 2.11) of vertices z_j; for a regular simplex L = K − 1.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

_PARALLEL = 1e-6  # a sine below which two directions have no great circle of their own


def regular_vertices(n_archetypes: int) -> np.ndarray:
    """Vertices [K, K − 1] of a regular simplex: of norm 1, equally far apart, with mean zero.

    The corners of the standard simplex, centred and written in the basis of Helmert's matrix.

    Raises:
        ValueError: there are fewer than two.
    """
    if n_archetypes < 2:
        raise ValueError(f"n_archetypes is {n_archetypes}; a simplex has two or more")
    rows = np.arange(1, n_archetypes)[:, None]
    columns = np.arange(n_archetypes)
    basis = np.where(columns < rows, 1.0, np.where(columns == rows, -rows, 0.0))
    basis /= np.sqrt(rows * (rows + 1.0))
    return np.sqrt(n_archetypes / (n_archetypes - 1.0)) * basis.T


def to_points(weights: Array, vertices: Array) -> Array:
    """Points [..., L] of weights [..., K] of vertices [K, L]."""
    return weights @ vertices


def to_weights(points: Array, vertices: Array) -> Array:
    """Barycentric coordinates [..., K] of points [..., L]: `to_points` undone.

    Of a point outside the vertices' span, those of the nearest point within it. The vertices must
    be affinely independent.
    """
    edges = vertices[1:] - vertices[0]
    rest = (points - vertices[0]) @ jnp.linalg.pinv(edges)
    return jnp.concatenate([1.0 - rest.sum(-1, keepdims=True), rest], axis=-1)


def linear_path(start: Array, end: Array, n: int) -> Array:
    """n points [n, L] from `start` [L] to `end` [L], in a straight line; weights go likewise."""
    share = jnp.linspace(0.0, 1.0, n)[:, None]
    return (1.0 - share) * start + share * end


def spherical_path(start: Array, end: Array, n: int) -> Array:
    """n points [n, L] from `start` [L] to `end` [L] around the origin (Shoemake 1985, slerp).

    Directions turn at an even pace in the plane of the two, lengths change linearly. Between two
    vertices of a regular simplex it keeps their norm, and so bulges out over their edge. Where
    the two directions span no plane the path is straight.
    """
    radius, end_radius = jnp.linalg.norm(start), jnp.linalg.norm(end)
    tiny = jnp.finfo(start.dtype).tiny
    direction, end_direction = start / (radius + tiny), end / (end_radius + tiny)
    angle = jnp.arccos(jnp.clip(direction @ end_direction, -1.0, 1.0))
    sine = jnp.sin(angle)
    share = jnp.linspace(0.0, 1.0, n)[:, None]
    turned = (jnp.sin((1.0 - share) * angle) * direction
              + jnp.sin(share * angle) * end_direction) / jnp.maximum(sine, _PARALLEL)
    around = ((1.0 - share) * radius + share * end_radius) * turned
    flat = (sine < _PARALLEL) | (radius == 0.0) | (end_radius == 0.0)
    return jnp.where(flat, linear_path(start, end, n), around)


def grid_weights(n_steps: int) -> np.ndarray:
    """Weights [(n + 1)(n + 2) / 2, 3] of the triangle's lattice with n_steps steps a side."""
    return np.array([(i, j, n_steps - i - j) for i in range(n_steps, -1, -1)
                     for j in range(n_steps - i, -1, -1)]) / n_steps
