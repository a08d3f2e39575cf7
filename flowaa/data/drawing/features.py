"""The parts of a face that act: cheeks, nose, mouth, eyes and brows.

The numbers were found by eye. What acts is squashed, so that an exaggerated face stays a face.
"""

import numpy as np

from flowaa.data.drawing.characters import Character
from flowaa.data.drawing.expressions import Action
from flowaa.data.drawing.shapes import Canvas, Colour, bow, box, capsule, darker, ellipse

_WHITE = (252.0, 250.0, 246.0)
_DARK = (38.0, 26.0, 30.0)
_THROAT = (96.0, 26.0, 36.0)
_TONGUE = (232.0, 104.0, 112.0)
_BLUSH = (232.0, 92.0, 92.0)
_RIMS = (60.0, 60.0, 70.0)
_EYES_Y = -0.06
_MOUTH_Y = 0.43


def draw_cheeks(canvas: Canvas, action: Action) -> None:
    """Blushing cheeks."""
    strength = 0.30 * np.logaddexp(0.0, 2.2 * action.blush - 0.3)
    part = canvas.window(box(canvas.x, canvas.y - 0.24, 0.80, 0.32))
    spread = ((np.abs(part.x) - 0.38) / 0.17) ** 2 + ((part.y - 0.24) / 0.12) ** 2
    part.tint(np.minimum(strength * np.exp(-1.5 * spread), 1.0), _BLUSH)


def draw_nose(canvas: Canvas, shade: Colour) -> None:
    """A small nose."""
    part = canvas.window(box(canvas.x, canvas.y - 0.18, 0.15, 0.15))
    part.paint(bow(part.x, part.y - 0.175, 0.07, -0.035, 0.035), shade)


def draw_mouth(canvas: Canvas, action: Action, lips: Colour) -> None:
    """Lips, and between them, where they part, throat, tongue and teeth."""
    half_width = 0.25 * np.exp(0.42 * action.stretch)
    opening = 0.10 * np.logaddexp(0.0, 3.6 * action.open - 2.2)
    part = canvas.window(box(canvas.x, canvas.y - _MOUTH_Y - 0.08, 0.62, 0.46))
    # A smile bends the mouth: it is an ellipse in coordinates that run along the bend.
    along = np.clip(part.x / half_width, -1.3, 1.3)
    middle = (_MOUTH_Y - 0.03 * action.smile + 0.09 * action.smile * (0.5 - along * along)
              - 0.18 * action.skew * part.x)
    across = part.y - middle
    lip = 0.038 + 0.012 * np.tanh(action.open)
    upper, lower = (0.6 - 0.3 * np.tanh(action.stretch)) * opening, 1.05 * opening
    half_height = np.where(across < 0.0, upper, lower)
    part.paint(ellipse(part.x, across, half_width + lip, half_height + lip), darker(lips, 0.2))
    inside = ellipse(part.x, across, half_width, half_height + 0.004)
    parted = np.clip(opening / 0.02, 0.0, 1.0)  # a closed mouth shows nothing of its inside
    part.paint(inside, _THROAT, parted)
    tongue = ellipse(part.x, across - lower, 0.8 * half_width, 0.7 * lower + 0.01)
    part.paint(np.maximum(inside, tongue), _TONGUE, parted)
    teeth = across + upper - 0.045 * (1.0 + np.tanh(1.5 * action.stretch))
    part.paint(np.maximum(inside, teeth), _WHITE, parted)


def draw_eyes(canvas: Canvas, action: Action, character: Character, skin: Colour) -> None:
    """Both eyes, and glasses in front of them."""
    for side in (-1.0, 1.0):
        centre = side * character.eye_distance
        reach = 1.6 * character.eye_size
        part = canvas.window(box(canvas.x - centre, canvas.y - _EYES_Y, reach, reach))
        _draw_eye(part, side, action, character, skin)
    if character.has_glasses:
        _draw_glasses(canvas, character)


def draw_brows(canvas: Canvas, action: Action, character: Character) -> None:
    """Both brows."""
    height = (_EYES_Y - 0.115 - 1.12 * character.eye_size) - 0.10 * np.tanh(action.brow_height)
    slope = 0.42 * np.tanh(0.8 * action.brow_tilt)
    for side in (-1.0, 1.0):
        centre = side * (character.eye_distance + 0.01)
        part = canvas.window(box(canvas.x - centre, canvas.y + 0.42, 0.28, 0.30))
        outwards = side * (part.x - centre)
        level = part.y - height - slope * outwards
        part.paint(bow(outwards, level, 0.17, 0.045, character.brow_thickness),
                   darker(character.hair, 0.3))


def _draw_eye(canvas: Canvas, side: float, action: Action, character: Character,
              skin: Colour) -> None:
    radius = character.eye_size
    height = 1.12 * radius
    x = side * canvas.x - character.eye_distance  # outwards
    y = canvas.y - _EYES_Y
    ball = ellipse(x, y, radius, height)
    arch = x * x / radius
    upper_lid = (0.34 * action.brow_tilt * x + 0.25 * arch
                 - height * (0.72 + 0.46 * np.tanh(0.9 * action.eye_open)))
    squint = np.tanh(0.9 * np.maximum(action.squint, -0.3))
    lower_lid = height * (0.85 - 0.80 * squint) + 0.35 * squint * arch
    visible = np.maximum(np.maximum(ball, upper_lid - y), y - lower_lid)
    canvas.paint(np.maximum(ball, y - upper_lid), darker(skin, 0.07))
    canvas.paint(visible, _WHITE)
    in_x, in_y = x + 0.03, y - 0.055 * np.tanh(action.gaze)
    iris, pupil = 0.58 * radius, 0.34 * radius * np.exp(0.38 * np.tanh(action.pupil))
    canvas.paint(np.maximum(visible, ellipse(in_x, in_y, iris, iris)), character.iris)
    canvas.paint(np.maximum(visible, ellipse(in_x, in_y, pupil, pupil)), _DARK)
    glint = ellipse(side * x + 0.05, in_y + 0.06, 0.045, 0.045)
    canvas.paint(np.maximum(visible, glint), (255.0, 255.0, 255.0))
    lash = np.maximum(np.abs(y - upper_lid) - 0.02, ellipse(x - 0.03, y, radius, height + 0.02))
    canvas.paint(lash, _DARK)


def _draw_glasses(canvas: Canvas, character: Character) -> None:
    radius = character.eye_size + 0.05
    part = canvas.window(box(canvas.x, canvas.y - _EYES_Y, 0.6, 0.3))
    y = part.y - _EYES_Y
    rims = np.abs(ellipse(np.abs(part.x) - character.eye_distance, y, radius, radius)) - 0.02
    gap = max(character.eye_distance - radius, 0.01)
    bridge = capsule(part.x, y, (-gap, 0.0), (gap, 0.0), 0.02)
    part.paint(np.minimum(rims, bridge), _RIMS)
