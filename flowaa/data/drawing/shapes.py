"""Batches of pictures painted from smooth shapes, without aliasing.

Coordinates are those of a picture: x to the right and y downwards, both from −1 to 1. A shape is a
field of signed distances [B, H, W] to its border, negative inside: the union of two shapes is their
minimum, the intersection their maximum, and −shape is the outside. A pixel that a border crosses
takes part of the colour, so that a picture depends continuously on the numbers that describe it.
"""

import numpy as np

Field = np.ndarray  # float32, broadcasts to [B, H, W]
Number = float | np.ndarray  # the same for all pictures, or [B, 1, 1]
Colour = tuple[Number, Number, Number]  # red, green and blue, 0 … 255

_TINY = np.float32(1e-6)  # keeps the quotients finite where a distance has no gradient


class Canvas:
    """Pictures that shapes are painted on, and the coordinates of their pixels."""

    def __init__(self, x: Field, y: Field, planes: list[np.ndarray], pixel: Number) -> None:
        """Wraps pictures that are partly painted.

        Args:
            x: horizontal place of each pixel, [B, H, W].
            y: vertical place.
            planes: red, green and blue [B, H, W] float32, painted over in place.
            pixel: side of a pixel.
        """
        self.x = x
        self.y = y
        self._planes = planes
        self._pixel = pixel

    def window(self, shape: Field) -> "Canvas":
        """The part of all pictures that holds a shape of every one: painting it costs less."""
        inside = shape < 0.5 * self._pixel
        columns, rows = np.flatnonzero(inside.any((0, 1))), np.flatnonzero(inside.any((0, 2)))
        if not len(rows):
            rows = columns = np.zeros(1, int)
        part = np.s_[:, rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        return Canvas(self.x[part], self.y[part], [plane[part] for plane in self._planes],
                      self._pixel)

    def paint(self, shape: Field, colour: Colour, opacity: Number = 1.0) -> None:
        """Covers the inside of a shape."""
        self.tint(np.clip(0.5 - shape / self._pixel, 0.0, 1.0) * opacity, colour)

    def tint(self, share: Field, colour: Colour) -> None:
        """Mixes in a colour by the share of it, 0 … 1."""
        for plane, channel in zip(self._planes, colour, strict=True):
            plane += share * (channel - plane)


def ellipse(x: Field, y: Field, radius_x: Number, radius_y: Number) -> Field:
    """An upright ellipse around the origin; the distance is of first order at the border."""
    p, q = x / radius_x, y / radius_y
    level = np.sqrt(p * p + q * q + _TINY)
    p, q = p / radius_x, q / radius_y
    return level * (level - 1.0) / np.sqrt(p * p + q * q + _TINY)


def capsule(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float],
            radius: float) -> Field:
    """A straight stroke with round ends."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    p, q = x - start[0], y - start[1]
    share = np.clip((p * along_x + q * along_y) / (along_x**2 + along_y**2), 0.0, 1.0)
    return np.hypot(p - share * along_x, q - share * along_y) - radius


def bow(x: Field, y: Field, half_width: float, rise: float, radius: float) -> Field:
    """A level stroke around the origin with round ends, its middle `rise` above them."""
    share = np.clip(x / half_width, -1.0, 1.0)
    above = y + rise * (1.0 - share * share)
    slope = 2.0 * rise / half_width * share
    beyond = x - share * half_width
    return np.sqrt((beyond * beyond + above * above) / (1.0 + slope * slope) + _TINY) - radius


def box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    """An upright rectangle around the origin."""
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def darker(colour: Colour, share: float) -> Colour:
    """A colour with a share of its light taken away."""
    red, green, blue = colour
    return red * (1.0 - share), green * (1.0 - share), blue * (1.0 - share)


def lighter(colour: Colour, share: float) -> Colour:
    """A colour with a share of white mixed in."""
    red, green, blue = darker(colour, share)
    return red + 255.0 * share, green + 255.0 * share, blue + 255.0 * share
