"""The simplex whose vertices are the archetypes, and the weights of points on it.

Weights [..., K] sum to one; those of points outside the simplex leave [0, 1]. A point is
Σ_j a_j z_j (thesis eq. 2.11) of the vertices z_j. The way back from points to weights, barycentric
coordinates, is `flowaa.outliers.plane.coordinates`.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array


def regular_vertices(n_archetypes: int) -> np.ndarray:
    """Vertices [K, K − 1] of a regular simplex: of norm 1, equally far apart, with mean zero.

    The corners of the standard simplex, centred and written in the basis of Helmert's matrix.

    >>> regular_vertices(2)
    array([[ 1.],
           [-1.]])

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


def linear_path(start: Array, end: Array, n: int) -> Array:
    """n weights [n, K], or points, in a straight line from `start` [K] to `end` [K]."""
    share = jnp.linspace(0.0, 1.0, n)[:, None]
    return (1.0 - share) * start + share * end


def grid_weights(n_steps: int) -> np.ndarray:
    """Weights [(n + 1)(n + 2) / 2, 3] of the triangle's lattice with n_steps steps a side.

    >>> len(grid_weights(4))
    15
    """
    return np.array([(i, j, n_steps - i - j) for i in range(n_steps, -1, -1)
                     for j in range(n_steps - i, -1, -1)]) / n_steps
