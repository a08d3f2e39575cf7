"""The distance to which small changes make no difference, against scipy's moves and ridge."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from sklearn.linear_model import Ridge

from flowaa.archetypes.deep.tangents import CHANGES, ChangeSizes, TangentDistance

SIZE = 24
SHAPE = (SIZE, SIZE, 2)
LEVEL = -1.5  # of black
BLACK = (LEVEL, LEVEL)
CENTRE = (SIZE - 1) / 2
SIZES = ChangeSizes(shift_px=1.0, rotation_degrees=3.0, scale_percent=3.0, brightness_percent=10.0)
RESIDUAL = 0.1  # standard deviation of the pixels' differences


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


def distance_to(*changes, blur_px=0.0):
    sizes = {field.name: getattr(SIZES, field.name) for field in dataclasses.fields(ChangeSizes)
             if field.name.split("_")[0] in changes}
    return TangentDistance(SHAPE, blur_px, ChangeSizes(**sizes), BLACK)


def norm(distance, u, target):
    return float(jnp.linalg.norm(distance.difference(jnp.asarray(u)[None], target[None])))


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_change_makes_no_difference_if_its_kind_is_named(change, picture):
    changed = small_changes(picture)[change].astype(np.float32)
    plain = norm(distance_to(), changed, picture)
    others = [other for other in CHANGES if other != change]
    assert norm(distance_to(change), changed, picture) < 0.1 * plain
    assert norm(distance_to(*others), changed, picture) > 0.5 * plain


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0])
def test_large_changes_of_brightness_are_differences(factor, picture):
    """A black picture, a negative and one twice as bright are not the picture."""
    changed = LEVEL + factor * (picture - LEVEL)
    free = 1.96 * SIZES.brightness_percent / 100  # 95 % of a normal law
    expected = (abs(factor - 1) - free) / abs(factor - 1)
    plain = norm(distance_to(), changed, picture)
    assert norm(distance_to("brightness"), changed, picture) == pytest.approx(
        expected * plain, rel=1e-3)


def test_the_units_are_pixels_degrees_and_per_cent(picture):
    """A tangent is what scipy's change by one standard deviation does, to first order."""
    small = ChangeSizes(*(0.1 * size for size in dataclasses.astuple(SIZES)))
    angle, size = np.deg2rad(small.rotation_degrees), small.scale_percent / 100
    rotation = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    expected = [moved(picture, np.eye(2), (small.shift_px, 0.0)),
                moved(picture, np.eye(2), (0.0, small.shift_px)), moved(picture, rotation),
                moved(picture, (1 + size) * np.eye(2)),
                LEVEL + (1 + small.brightness_percent / 100) * (picture - LEVEL)]
    tangents = TangentDistance(SHAPE, 0.0, small, BLACK).tangents(picture[None])[0]
    for tangent, changed in zip(tangents, expected, strict=True):
        change = changed - picture
        cosine = (tangent * change).sum() / np.linalg.norm(tangent) / np.linalg.norm(change)
        assert abs(cosine) > 0.97
        assert np.linalg.norm(tangent) == pytest.approx(np.linalg.norm(change), rel=0.15)


def test_all_changes_at_once_leave_what_is_drawn_anew(picture):
    distance, plain = distance_to(*CHANGES, blur_px=1.0), distance_to(blur_px=1.0)
    blot = np.zeros(SHAPE, np.float32)
    blot[8:11, 14:17, 0] = 1.0
    assert norm(distance, picture + blot, picture) > 0.5 * norm(plain, picture + blot, picture)
    both = LEVEL + 1.05 * (small_changes(picture)["shift"] - LEVEL)
    assert norm(distance, both, picture) < 0.1 * norm(plain, both, picture)


def test_blur_is_a_gaussian(picture):
    blurred = distance_to(blur_px=1.5).blur(picture[None])[0]
    expected = scipy.ndimage.gaussian_filter(picture - LEVEL, (1.5, 1.5, 0), mode="constant",
                                             truncate=8) + LEVEL
    inside = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(blurred[inside], expected[inside], atol=1e-3)
    plain = jnp.full((1, *SHAPE), 3.0)  # renormalised at the border
    np.testing.assert_allclose(distance_to(blur_px=1.5).blur(plain), plain, rtol=1e-6)


def test_the_changes_subtracted_are_those_of_ridge_regression(picture):
    """Against scikit-learn; with a bound on their size, see `TangentDistance.without_changes`."""
    distance = distance_to(*CHANGES)
    tangents = np.asarray(distance.tangents(picture[None]), np.float64).reshape(5, -1)
    ridge = Ridge(alpha=RESIDUAL**2, fit_intercept=False)
    for scale in (0.3, 30.0):
        difference = scale * np.random.default_rng(1).normal(size=(1, *SHAPE)).astype(np.float32)
        a = ridge.fit(tangents.T, difference.reshape(-1)).coef_
        radius = np.sqrt(scipy.stats.chi2.ppf(0.95, 5))
        assert (np.linalg.norm(a) > radius) == (scale > 1)
        a *= min(1.0, radius / np.linalg.norm(a))
        rest = distance.without_changes(difference, picture[None])
        np.testing.assert_allclose(rest.reshape(-1), difference.reshape(-1) - a @ tangents,
                                   atol=1e-3 * scale)


def test_the_distance_is_never_larger_than_without_changes(picture):
    random = np.random.default_rng(4)
    for scale in (0.01, 1.0, 10.0):
        u = picture + scale * random.normal(size=SHAPE).astype(np.float32)
        assert norm(distance_to(*CHANGES), u, picture) <= norm(distance_to(), u, picture)


def test_the_changes_are_those_of_the_target(picture):
    """Black cannot get brighter: no change of it explains a picture, though one makes it black."""
    black, distance = jnp.full(SHAPE, LEVEL), distance_to("brightness")
    assert norm(distance, picture, black) == pytest.approx(
        norm(distance_to(), picture, black), rel=1e-5)
    assert norm(distance, np.asarray(black), jnp.asarray(picture)) < 0.9 * norm(
        distance_to(), picture, black)


def test_differences_from_one_centre_stay_mixtures(picture):
    """A mixture of pictures is the mixture of their differences, where these are small."""
    distance = distance_to(*CHANGES, blur_px=1.0)
    random = np.random.default_rng(2)
    pictures = picture + 0.2 * random.normal(size=(3, *SHAPE)).astype(np.float32)
    weights = random.dirichlet(np.ones(3), 4).astype(np.float32)
    centre = picture[None]
    differences = distance.centred(pictures, np.repeat(centre, 3, 0))
    mixed = distance.centred(np.tensordot(weights, pictures, 1), np.repeat(centre, 4, 0))
    np.testing.assert_allclose(mixed, np.tensordot(weights, differences, 1), atol=1e-4)


@pytest.mark.parametrize("target", [0.0, LEVEL])
def test_plain_pictures_have_finite_gradients(target):
    """They cannot be moved: every tangent, or all but that of brightness, is zero."""
    distance = distance_to(*CHANGES, blur_px=1.0)
    plain = jnp.full((1, *SHAPE), target)

    def loss(u):
        return jnp.square(distance.difference(u, plain)).sum()

    for u in (plain, plain + 1.0, jnp.asarray(small_noise())):
        assert np.isfinite(jax.grad(loss)(u)).all()


def small_noise():
    return np.random.default_rng(3).normal(size=(1, *SHAPE)).astype(np.float32)
