"""The distance that small moves do not change, against scipy's moves and least squares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from flowaa.archetypes.deep.tangents import CHANGES, TangentDistance

SIZE = 24
SHAPE = (SIZE, SIZE, 2)
LEVEL = -1.5  # of black
BLACK = (LEVEL, LEVEL)
CENTRE = (SIZE - 1) / 2


@pytest.fixture(scope="module")
def picture():
    """Smooth, on black, far from the border: [H, W, C]."""
    noise = np.random.default_rng(0).normal(size=SHAPE)
    smooth = scipy.ndimage.gaussian_filter(noise, (2.0, 2.0, 0), mode="wrap")
    row, column = np.mgrid[:SIZE, :SIZE] - CENTRE
    window = np.exp(-((row**2 + column**2) / (SIZE / 4) ** 2) ** 2)[..., None]
    return (LEVEL + window * (1.0 + 5.0 * smooth)).astype(np.float32)


def moved(picture, matrix, offset=(0.0, 0.0)):
    """The picture at matrix · position + offset, positions counted from its centre."""
    offset = np.full(2, CENTRE) - np.asarray(matrix) @ np.full(2, CENTRE) + offset
    return np.stack([
        scipy.ndimage.affine_transform(channel, matrix, offset, cval=LEVEL)
        for channel in np.moveaxis(picture, -1, 0)], axis=-1)


def small_changes(picture):
    angle = np.deg2rad(1.5)
    rotation = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return {"shift": moved(picture, np.eye(2), (0.15, -0.1)), "rotation": moved(picture, rotation),
            "scale": moved(picture, 1.01 * np.eye(2)),
            "brightness": LEVEL + 1.1 * (picture - LEVEL)}


def left(distance, found, wanted):
    return float(jnp.linalg.norm(distance.difference(found[None], wanted[None])))


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_change_is_no_difference_unless_it_is_one_that_counts(change, picture):
    found = small_changes(picture)[change].astype(np.float32)
    plain = left(TangentDistance(SHAPE, 0.0, (), BLACK), found, picture)
    blind = left(TangentDistance(SHAPE, 0.0, (change,), BLACK), found, picture)
    others = tuple(other for other in CHANGES if other != change)
    seeing = left(TangentDistance(SHAPE, 0.0, others, BLACK), found, picture)
    assert blind < 0.1 * plain
    assert seeing > 0.5 * plain


def test_all_changes_at_once_leave_what_is_drawn_anew(picture):
    distance = TangentDistance(SHAPE, 1.0, CHANGES, BLACK)
    blot = np.zeros(SHAPE, np.float32)
    blot[8:11, 14:17, 0] = 1.0
    seen = left(TangentDistance(SHAPE, 1.0, (), BLACK), picture + blot, picture)
    assert left(distance, picture + blot, picture) > 0.5 * seen
    both = LEVEL + 1.05 * (small_changes(picture)["shift"] - LEVEL)
    assert left(distance, both.astype(np.float32), picture) < 0.1 * left(
        TangentDistance(SHAPE, 1.0, (), BLACK), both.astype(np.float32), picture)


def test_blur_is_a_gaussian(picture):
    blurred = TangentDistance(SHAPE, 1.5, (), BLACK).blur(picture[None])[0]
    expected = scipy.ndimage.gaussian_filter(picture - LEVEL, (1.5, 1.5, 0), mode="constant",
                                             truncate=8) + LEVEL
    inside = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(blurred[inside], expected[inside], atol=1e-3)
    plain = jnp.full((1, *SHAPE), 3.0)  # renormalised at the border
    np.testing.assert_allclose(TangentDistance(SHAPE, 1.5, (), BLACK).blur(plain), plain, rtol=1e-6)


def test_what_is_left_is_the_residual_of_least_squares(picture):
    distance = TangentDistance(SHAPE, 0.0, CHANGES, BLACK)
    difference = np.random.default_rng(1).normal(size=(1, *SHAPE)).astype(np.float32)
    tangents = np.asarray(distance.tangents(picture[None]), np.float64).reshape(5, -1)
    flat = difference.reshape(-1).astype(np.float64)
    shares = np.linalg.lstsq(tangents.T, flat, rcond=None)[0]
    found = distance.without_tangents(difference, picture[None])
    np.testing.assert_allclose(found.reshape(-1), flat - shares @ tangents, atol=1e-3)


def test_differences_from_one_centre_stay_mixtures(picture):
    """A mixture of pictures is the mixture of what is seen of them."""
    distance = TangentDistance(SHAPE, 1.0, CHANGES, BLACK)
    random = np.random.default_rng(2)
    pictures = picture + random.normal(size=(3, *SHAPE)).astype(np.float32)
    weights = random.dirichlet(np.ones(3), 4).astype(np.float32)
    centre = picture[None]
    seen = distance.centred(pictures, np.repeat(centre, 3, 0))
    mixed = distance.centred(np.tensordot(weights, pictures, 1), np.repeat(centre, 4, 0))
    np.testing.assert_allclose(mixed, np.tensordot(weights, seen, 1), atol=1e-4)


@pytest.mark.parametrize("wanted", [0.0, LEVEL])
def test_plain_pictures_have_finite_gradients(wanted):
    """They cannot be moved: every tangent, or all but that of light, is zero."""
    distance = TangentDistance(SHAPE, 1.0, CHANGES, BLACK)
    plain = jnp.full((1, *SHAPE), wanted)

    def loss(found):
        return jnp.square(distance.difference(found, plain)).sum()

    for found in (plain, plain + 1.0, jnp.asarray(small_noise())):
        assert np.isfinite(jax.grad(loss)(found)).all()


def small_noise():
    return np.random.default_rng(3).normal(size=(1, *SHAPE)).astype(np.float32)
