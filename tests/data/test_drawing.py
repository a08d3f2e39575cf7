"""Drawn faces: shapes against closed forms, and what a picture owes to its weights and pose."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from flowaa.data.drawing.characters import CHARACTERS
from flowaa.data.drawing.expressions import EXTREMES, act
from flowaa.data.drawing.face import Pose, draw_faces, extreme_faces
from flowaa.data.drawing.population import draw_population
from flowaa.data.drawing.shapes import Canvas, bow, box, capsule, ellipse
from flowaa.data.face_labels import CHARACTER_NAMES

SIZE = 64


def blank(size: int = SIZE) -> Canvas:
    ruler = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = (np.broadcast_to(axis, (1, size, size)) for axis in (ruler, ruler[:, None]))
    return Canvas(x, y, [np.zeros((1, size, size), np.float32) for _ in range(3)], 2 / size)


def painted(shape_of, size: int = SIZE) -> np.ndarray:
    """How much of each pixel a shape covers."""
    canvas = blank(size)
    canvas.paint(shape_of(canvas.x, canvas.y), (1.0, 0.0, 0.0))
    return canvas._planes[0][0]


@pytest.mark.parametrize(("shape_of", "area"), [
    (lambda x, y: ellipse(x - 0.013, y + 0.07, 0.52, 0.31), np.pi * 0.52 * 0.31),
    (lambda x, y: ellipse(x, y, 0.07, 0.07), np.pi * 0.07**2),
    (lambda x, y: capsule(x, y, (-0.3, -0.2), (0.4, 0.31), 0.06),
     np.pi * 0.06**2 + 2 * 0.06 * np.hypot(0.7, 0.51)),
    (lambda x, y: box(x - 0.011, y, 0.405, 0.203), 4 * 0.405 * 0.203),
    # The parabola y = a x² over ±w is w·√(1 + s²) + asinh(s)/(2a) long, where s = 2aw is its slope
    # at the ends, by which the round ends are stretched.
    (lambda x, y: bow(x, y, 0.5, 0.2, 0.05),
     np.pi * 0.05**2 * 1.64 + 2 * 0.05 * (0.5 * np.sqrt(1.64) + np.arcsinh(0.8) / 1.6)),
], ids=["ellipse", "dot", "capsule", "box", "bow"])
def test_a_shape_covers_its_area(shape_of, area):
    np.testing.assert_allclose(painted(shape_of).sum() * (2 / SIZE) ** 2, area, rtol=0.02)


def test_painting_a_window_is_painting_the_whole():
    def eye(x, y):
        return ellipse(x - 0.4, y + 0.3, 0.21, 0.13)

    canvas = blank()
    part = canvas.window(eye(canvas.x, canvas.y))
    assert part.x.size < canvas.x.size / 10
    part.paint(eye(part.x, part.y), (1.0, 0.0, 0.0))
    np.testing.assert_array_equal(canvas._planes[0][0], painted(eye))
    nowhere = canvas.window(box(canvas.x - 5.0, canvas.y, 0.1, 0.1))
    nowhere.paint(eye(nowhere.x, nowhere.y), (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(canvas._planes[0][0], painted(eye))


def test_the_neutral_face_is_the_middle_and_no_two_mixtures_act_alike():
    n_extremes = len(EXTREMES)
    neutral = act(np.full((1, n_extremes), 1 / n_extremes))
    for field in dataclasses.fields(neutral):
        np.testing.assert_allclose(getattr(neutral, field.name), 0.0, atol=1e-6)
    extremes = act(np.eye(n_extremes))
    actions = np.stack([getattr(extremes, field.name).ravel()
                        for field in dataclasses.fields(extremes)], axis=1)
    # Affinely independent extremes, and by a margin.
    assert np.linalg.svd(actions[1:] - actions[0], compute_uv=False)[-1] > 0.5


def test_characters_have_fergs_names():
    assert tuple(character.name for character in CHARACTERS) == CHARACTER_NAMES


def random_faces(n: int, image_size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return np.arange(n) % 6, random.dirichlet([0.4] * 6, n)


def test_a_small_picture_is_a_large_one_from_afar():
    characters, weights = random_faces(24, 32)
    small = draw_faces(characters, weights, image_size=32).astype(float)
    large = draw_faces(characters, weights, image_size=256).astype(float)
    from_afar = large.reshape(24, 32, 8, 32, 8, 3).mean((2, 4))
    error = np.sqrt(np.square(small - from_afar).mean((1, 2, 3)))
    picked = np.sqrt(np.square(large[:, 4::8, 4::8] - from_afar).mean((1, 2, 3)))
    assert (error < 7.0).all()
    assert (error < 0.6 * picked).all()  # what pixels without antialiasing would come to


def test_pictures_change_continuously_with_the_weights():
    steps = np.linspace(0.0, 1.0, 1601)[:, None]
    corners = np.eye(6)
    for character, (start, end) in enumerate([(0, 3), (1, 5), (2, 4), (3, 1), (4, 0), (5, 2)]):
        weights = (1 - steps) * corners[start] + steps * corners[end]
        images = draw_faces(np.full(1601, character), weights, image_size=32).astype(int)
        # A part that jumped would change some pixel by tens of levels at once.
        assert np.abs(np.diff(images, axis=0)).max() <= 8


def test_the_way_from_weights_to_pixels_is_not_linear():
    extremes = extreme_faces(32).astype(float)
    for first in range(6):
        for second in range(first):
            half = (np.eye(6)[first] + np.eye(6)[second]) / 2
            image = draw_faces(np.arange(6), np.tile(half, (6, 1)), image_size=32).astype(float)
            blend = (extremes[:, first] + extremes[:, second]) / 2
            span = np.abs(extremes[:, first] - extremes[:, second]).mean((1, 2, 3))
            assert (np.abs(image - blend).mean((1, 2, 3)) > 0.1 * span).all()


def test_extreme_faces_differ_in_every_character():
    extremes = extreme_faces(32).astype(float)
    assert extremes.shape == (6, 6, 32, 32, 3)
    for character in extremes:
        apart = np.abs(character[:, None] - character).mean((2, 3, 4))
        assert apart[~np.eye(6, dtype=bool)].min() > 2.0


def test_a_pose_moves_the_picture_and_lights_it():
    characters, weights = random_faces(6, 32)
    still = draw_faces(characters, weights, image_size=32)
    pixel = 2 / 32
    pose = dataclasses.replace(Pose.still(6), shift_x=np.full(6, 3 * pixel, np.float32),
                               shift_y=np.full(6, -2 * pixel, np.float32))
    moved = draw_faces(characters, weights, image_size=32, pose=pose)
    # The same picture to the rounding of places.
    difference = moved[:, :-2, 3:].astype(int) - still[:, 2:, :-3]
    assert np.abs(difference).max() <= 1
    dim = dataclasses.replace(Pose.still(6), brightness=np.full(6, 0.5, np.float32))
    halved = draw_faces(characters, weights, image_size=32, pose=dim)
    np.testing.assert_allclose(halved, still / 2, atol=0.76)


def test_a_tilted_head_is_the_picture_turned_about_the_neck():
    characters, weights = random_faces(6, 128)
    tilt = np.full(6, np.deg2rad(10.0), np.float32)
    pose = dataclasses.replace(Pose.still(6), tilt=tilt)
    tilted = draw_faces(characters, weights, image_size=128, pose=pose)
    still = draw_faces(characters, weights, image_size=128)
    centre = (64.0, (0.9 + 1) * 64)
    inner = np.s_[24:104, 30:98]
    for turned, image in zip(tilted, still, strict=True):
        expected = np.asarray(Image.fromarray(image).rotate(
            -10.0, resample=Image.Resampling.BILINEAR, center=centre))
        error = np.abs(turned[inner].astype(int) - expected[inner]).mean()  # turning blurs
        assert error < 0.2 * np.abs(turned[inner].astype(int) - image[inner]).mean()


def test_faces_are_drawn_one_by_one():
    characters, weights = random_faces(300, 16)
    together = draw_faces(characters, weights, image_size=16)
    order = np.random.default_rng(1).permutation(300)[:40]
    np.testing.assert_array_equal(
        draw_faces(characters[order], weights[order], image_size=16), together[order])


@pytest.mark.parametrize("exaggeration", [1.0, 1.5])
def test_no_part_of_a_face_is_cut_off(monkeypatch, exaggeration):
    characters, weights = random_faces(60, 64)
    weights = exaggeration * weights - (exaggeration - 1.0) / 6
    pose = draw_population(60, seed=0, nuisance=3.0).pose
    windowed = draw_faces(characters, weights, image_size=64, pose=pose)
    monkeypatch.setattr(Canvas, "window", lambda self, _: self)
    np.testing.assert_array_equal(
        draw_faces(characters, weights, image_size=64, pose=pose), windowed)


def test_exaggerated_faces_stay_faces():
    weights = np.array([np.eye(6)[k] * 2.0 - 1 / 6 for k in range(6)])
    images = draw_faces(np.arange(6), weights, image_size=32)
    plain = draw_faces(np.arange(6), np.eye(6), image_size=32)
    assert (np.abs(images.astype(int) - plain).mean((1, 2, 3)) > 1.0).all()
