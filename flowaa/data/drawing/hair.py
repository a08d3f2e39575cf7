"""The hair behind the head and the hair in front of it."""

from collections.abc import Callable

import numpy as np

from flowaa.data.drawing.characters import Character
from flowaa.data.drawing.shapes import Canvas, Colour, Field, capsule, darker, ellipse, lighter


def draw_hair_behind(canvas: Canvas, character: Character) -> None:
    """Draws the hair behind the head, darker than in front."""
    x, y = canvas.x, canvas.y
    sides = np.abs(x)
    shapes: dict[str, Callable[[], Field]] = {
        "bob": lambda: np.minimum(
            ellipse(x, y + 0.12, 0.80, 0.80),
            np.maximum(sides - 0.78, np.maximum(y - 0.55, -y - 0.1))),
        "buns": lambda: np.minimum(
            ellipse(sides - 0.60, y + 0.62, 0.25, 0.25), ellipse(x, y + 0.16, 0.70, 0.68)),
        "quiff": lambda: ellipse(x, y + 0.16, 0.58, 0.60),
        "afro": lambda: ellipse(x, y + 0.26, 0.80, 0.70),
        "long": lambda: np.minimum(
            ellipse(x, y + 0.14, 0.74, 0.78), np.maximum(sides - 0.70 - 0.06 * y, -y - 0.1)),
        "bald": lambda: ellipse(sides - 0.58, y + 0.06, 0.12, 0.20),
    }
    is_lit = character.style in ("afro", "bald")
    canvas.paint(shapes[character.style](),
                 character.hair if is_lit else darker(character.hair, 0.25))


def draw_hair_before(canvas: Canvas, character: Character) -> None:
    """Draws the hair in front of the head."""
    styles: dict[str, Callable[[Canvas, Colour], None]] = {
        "bob": _bob, "buns": _buns, "quiff": _quiff, "afro": _afro, "long": _long, "bald": _bald}
    styles[character.style](canvas, character.hair)


def _bob(canvas: Canvas, hair: Colour) -> None:
    x, y = canvas.x, canvas.y
    fringe = np.maximum(ellipse(x, y + 0.10, 0.68, 0.74), y + 0.42 + 0.10 * x * x)
    canvas.paint(fringe, hair)
    shine = np.maximum(fringe, np.abs(y + 0.64 - 0.3 * x * x) - 0.05)
    canvas.paint(shine, lighter(hair, 0.3), 0.5)
    sides = np.abs(x)
    canvas.paint(capsule(sides, y, (0.66, -0.30), (0.64, 0.42), 0.11), hair)


def _buns(canvas: Canvas, hair: Colour) -> None:
    x, y = canvas.x, canvas.y
    sides = np.abs(x)
    brow = ellipse(sides - 0.26, y - 0.12, 0.40, 0.58)
    parted = np.maximum(ellipse(x, y + 0.12, 0.66, 0.66), -brow)
    canvas.paint(np.maximum(parted, y + 0.02), hair)
    canvas.paint(ellipse(sides - 0.62, y + 0.66, 0.20, 0.20), hair)
    canvas.paint(ellipse(sides - 0.64, y + 0.72, 0.08, 0.05), lighter(hair, 0.3), 0.6)


def _quiff(canvas: Canvas, hair: Colour) -> None:
    x, y = canvas.x, canvas.y
    temples = np.maximum(ellipse(x, y + 0.10, 0.61, 0.66), -ellipse(x, y - 0.10, 0.51, 0.62))
    canvas.paint(np.maximum(temples, y + 0.05), darker(hair, 0.25))
    wave = np.minimum(ellipse(x + 0.24, y + 0.62, 0.34, 0.20),
                      ellipse(x - 0.14, y + 0.68, 0.46, 0.25))
    canvas.paint(wave, hair)
    canvas.paint(ellipse(x - 0.20, y + 0.78, 0.22, 0.07), lighter(hair, 0.3), 0.6)


def _afro(canvas: Canvas, hair: Colour) -> None:
    x, y = canvas.x, canvas.y
    canvas.paint(np.maximum(ellipse(x, y + 0.22, 0.70, 0.62), y + 0.54 - 0.60 * x * x), hair)
    canvas.paint(ellipse(x + 0.20, y + 0.76, 0.26, 0.09), lighter(hair, 0.2), 0.6)


def _long(canvas: Canvas, hair: Colour) -> None:
    x, y = canvas.x, canvas.y
    parted = np.maximum(ellipse(x, y + 0.12, 0.66, 0.70), -ellipse(x - 0.16, y - 0.16, 0.60, 0.66))
    canvas.paint(parted, hair)
    canvas.paint(capsule(np.abs(x), y, (0.63, -0.20), (0.66, 0.95), 0.12), hair)
    shine = np.maximum(parted, np.abs(y + 0.60 + 0.2 * x) - 0.04)
    canvas.paint(shine, lighter(hair, 0.3), 0.5)


def _bald(canvas: Canvas, hair: Colour) -> None:
    x, y = canvas.x, canvas.y
    canvas.paint(ellipse(x + 0.16, y + 0.46, 0.16, 0.07), (255.0, 255.0, 255.0), 0.35)
    canvas.paint(capsule(np.abs(x), y, (0.04, 0.285), (0.17, 0.315), 0.05), hair)  # moustache
