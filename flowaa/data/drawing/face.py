"""Faces: any character, with any mixture of the extreme expressions, in any pose."""

import dataclasses
from typing import Any

import numpy as np

from flowaa.data.drawing.characters import CHARACTERS, Character
from flowaa.data.drawing.expressions import EXTREMES, act
from flowaa.data.drawing.features import draw_brows, draw_cheeks, draw_eyes, draw_mouth, draw_nose
from flowaa.data.drawing.hair import draw_hair_before, draw_hair_behind
from flowaa.data.drawing.shapes import Canvas, Colour, capsule, darker, ellipse

_NECK_Y = 0.9  # heads tilt around it
_CHUNK_PIXELS = 2**17  # drawn at once: arrays of this size stay in the processor's cache


@dataclasses.dataclass(frozen=True)
class Pose:
    """Nuisance variation, independent of the labels; every field is [N] float32."""

    tilt: np.ndarray  # radians
    shift_x: np.ndarray  # of a picture from −1 to 1
    shift_y: np.ndarray
    scale: np.ndarray  # 1 is as drawn
    brightness: np.ndarray  # 1 is as drawn

    @classmethod
    def still(cls, n_faces: int) -> "Pose":
        """N upright faces in the middle of their pictures."""
        zeros, ones = np.zeros(n_faces, np.float32), np.ones(n_faces, np.float32)
        return cls(zeros, zeros, zeros, ones, ones)

    def __getitem__(self, faces: Any) -> "Pose":
        return Pose(**{field.name: getattr(self, field.name)[faces]
                       for field in dataclasses.fields(self)})


def draw_faces(characters: np.ndarray, weights: np.ndarray, *, image_size: int,
               pose: Pose | None = None) -> np.ndarray:
    """Draws faces.

    Args:
        characters: [N] indices of `CHARACTERS`.
        weights: [N, 6] of the extreme expressions, rows that sum to one; beyond 0 … 1 they
            exaggerate.
        image_size: side in pixels.
        pose: of each face; None for no tilt, shift or change of size and brightness.

    Returns:
        [N, image_size, image_size, 3] uint8.
    """
    pose = pose or Pose.still(len(characters))
    chunk_faces = max(1, _CHUNK_PIXELS // image_size**2)
    images = np.empty((len(characters), image_size, image_size, 3), np.uint8)
    for index, character in enumerate(CHARACTERS):
        rows = np.flatnonzero(characters == index)
        for start in range(0, len(rows), chunk_faces):
            chunk = rows[start:start + chunk_faces]
            images[chunk] = _draw(character, weights[chunk], pose[chunk], image_size)
    return images


def extreme_faces(image_size: int) -> np.ndarray:
    """The true archetypes: each character at each extreme, still.

    Returns:
        [characters, 6, image_size, image_size, 3] uint8, in the orders of `CHARACTERS` and
        `EXTREMES`.
    """
    n_characters, n_extremes = len(CHARACTERS), len(EXTREMES)
    images = draw_faces(np.repeat(np.arange(n_characters), n_extremes),
                        np.tile(np.eye(n_extremes), (n_characters, 1)), image_size=image_size)
    return images.reshape(n_characters, n_extremes, *images.shape[1:])


def _draw(character: Character, weights: np.ndarray, pose: Pose, image_size: int) -> np.ndarray:
    """Faces of one character, [B, image_size, image_size, 3]."""
    action = act(weights)
    tilt, shift_x, shift_y, scale, brightness = (
        getattr(pose, field.name)[:, None, None].astype(np.float32)
        for field in dataclasses.fields(pose))
    pixel = 2.0 / image_size
    ruler = ((np.arange(image_size) + 0.5) * pixel - 1.0).astype(np.float32)
    x, y = ruler - shift_x, ruler[:, None] - shift_y - _NECK_Y
    cos, sin = np.cos(tilt) / scale, np.sin(tilt) / scale
    x, y = cos * x + sin * y, cos * y - sin * x + _NECK_Y
    planes = [np.full(x.shape, channel, np.float32) for channel in character.ground]
    canvas = Canvas(x, y, planes, pixel / scale)
    canvas.tint(np.clip(0.25 * (y + 0.2), 0.0, 1.0), darker(character.ground, 0.2))

    red, green, blue = character.skin
    skin = (red * (1.0 + 0.08 * action.red), green * (1.0 + 0.08 * action.green),
            blue * (1.0 + 0.08 * action.blue))
    shade = darker(skin, 0.16)
    draw_hair_behind(canvas, character)
    _draw_head(canvas, character, skin, shade)
    draw_cheeks(canvas, action)
    draw_nose(canvas, shade)
    draw_mouth(canvas, action, character.lips)
    draw_eyes(canvas, action, character, skin)
    draw_hair_before(canvas, character)
    draw_brows(canvas, action, character)
    lit = np.stack(planes, axis=-1) * brightness[..., None]
    return np.round(np.clip(lit, 0.0, 255.0)).astype(np.uint8)


def _draw_head(canvas: Canvas, character: Character, skin: Colour, shade: Colour) -> None:
    """Shoulders, neck, ears and head."""
    x, y = canvas.x, canvas.y
    canvas.paint(ellipse(x, y - 1.12, 0.72, 0.38), character.shirt)
    canvas.paint(capsule(x, y, (0.0, 0.55), (0.0, 0.80), 0.20), shade)
    canvas.paint(ellipse(np.abs(x) - character.head_width, y - 0.06, 0.10, 0.14), shade)
    # Narrower towards the chin.
    half_width = character.head_width * (1.0 - 0.10 * np.clip(y - 0.02, -0.2, 1.0))
    canvas.paint(ellipse(x, y - 0.02, half_width, character.head_height), skin)
