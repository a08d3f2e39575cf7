"""The simplex against closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

from flowaa.archetypes.simplex import grid_weights, linear_path, regular_vertices
from flowaa.outliers.plane import archetype_plane, coordinates


@pytest.mark.parametrize("k", [2, 3, 4, 7, 50])
def test_vertices_are_regular(k):
    """Unit norm, mean zero, and equal distances: cosines of -1 / (K - 1), exactly."""
    vertices = regular_vertices(k)
    assert vertices.shape == (k, k - 1)
    expected = np.full((k, k), -1.0 / (k - 1))
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(vertices @ vertices.T, expected, atol=1e-14)
    np.testing.assert_allclose(vertices.mean(0), 0.0, atol=1e-15)


def test_one_vertex_is_no_simplex():
    with pytest.raises(ValueError, match="two or more"):
        regular_vertices(1)


@pytest.mark.parametrize(("k", "n_dims"), [(2, 1), (3, 2), (6, 5), (4, 9)])
def test_coordinates_are_the_weights_of_a_point(k, n_dims):
    """Of any vertices, in their own number of dimensions or more, and outside the simplex too."""
    random = np.random.default_rng(0)
    vertices = random.normal(size=(k, n_dims)).astype(np.float32)
    weights = random.normal(size=(20, k)).astype(np.float32)
    weights += (1 - weights.sum(1, keepdims=True)) / k
    plane = archetype_plane(jnp.asarray(vertices)[None])
    np.testing.assert_allclose(coordinates(plane, weights @ vertices, None), weights, atol=2e-5)


def test_coordinates_of_a_point_off_the_plane_are_those_of_its_foot():
    plane = archetype_plane(jnp.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]]))
    found = coordinates(plane, jnp.array([[0.2, 0.3, 5.0]]), None)
    np.testing.assert_allclose(found, [[0.5, 0.2, 0.3]], atol=1e-6)


def test_straight_way():
    path = linear_path(jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0]), 5)
    np.testing.assert_allclose(path[1], [0.75, 0.5])
    np.testing.assert_allclose(path[jnp.array([0, -1])], [[1, 0], [0, 2]])


def test_lattice_of_the_triangle():
    weights = grid_weights(4)
    assert len(weights) == 15
    assert len({tuple(row) for row in weights}) == 15
    np.testing.assert_allclose(weights.sum(1), 1.0)
    np.testing.assert_array_equal(weights[[0, 10, 14]], np.eye(3))
