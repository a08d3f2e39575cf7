"""Partitions of an array in two parts, for coupling layers (thesis Def. 2.2.1, I_1 and I_2)."""

import dataclasses
from typing import Protocol

import jax.numpy as jnp

from flowaa.bijectors.base import Array


class Split(Protocol):
    """Parts an array in two and puts it together again.

    A subnet sees `context(part, side)` and gives parameters of which `select(theta, side)` belong
    to the part on `side`, so that an image's subnet can work at the image's own resolution.
    """

    def split(self, x: Array) -> tuple[Array, Array]:
        """The two parts of x."""
        ...

    def merge(self, first: Array, second: Array) -> Array:
        """The inverse of `split`."""
        ...

    def context(self, part: Array, side: int) -> Array:
        """The input of a subnet that sees the part on `side`."""
        ...

    def select(self, theta: Array, side: int) -> Array:
        """The entries of a subnet's output that belong to the part on `side`."""
        ...


@dataclasses.dataclass(frozen=True)
class Halves:
    """The first C // 2 channels (or features) and the rest."""

    def split(self, x: Array) -> tuple[Array, Array]:
        """[..., C] to [..., C // 2] and [..., C - C // 2]."""
        if x.shape[-1] < 2:
            raise ValueError(
                f"an array of shape {x.shape[1:]} has one channel and cannot be halved: "
                "squeeze first, or use the checkerboard split"
            )
        half = x.shape[-1] // 2
        return x[..., :half], x[..., half:]

    def merge(self, first: Array, second: Array) -> Array:
        """Concatenates the channels."""
        return jnp.concatenate([first, second], axis=-1)

    def context(self, part: Array, side: int) -> Array:
        """The part itself."""
        del side
        return part

    def select(self, theta: Array, side: int) -> Array:
        """All of theta."""
        del side
        return theta


@dataclasses.dataclass(frozen=True)
class Checkerboard:
    """Every other pixel of an image (Dinh et al. 2017, arXiv 1605.08803, Fig. 3).

    A part is packed, [B, H, W / 2, C], so that no work is done on pixels that do not change; the
    subnet sees it spread out on the image's own grid with zeros between.
    """

    def split(self, x: Array) -> tuple[Array, Array]:
        """[B, H, W, C] to two [B, H, W / 2, C]."""
        if x.ndim != 4 or x.shape[2] % 2:
            raise ValueError(f"a checkerboard needs images of even width, not {x.shape[1:]}")
        pairs = x.reshape(*x.shape[:2], -1, 2, x.shape[3])
        left, right = pairs[:, :, :, 0], pairs[:, :, :, 1]
        odd = _odd_rows(left)
        return jnp.where(odd, right, left), jnp.where(odd, left, right)

    def merge(self, first: Array, second: Array) -> Array:
        """The inverse of `split`."""
        odd = _odd_rows(first)
        left, right = jnp.where(odd, second, first), jnp.where(odd, first, second)
        x = jnp.stack([left, right], axis=3)
        return x.reshape(*left.shape[:2], -1, left.shape[3])

    def context(self, part: Array, side: int) -> Array:
        """The part at its own pixels, zeros at the others."""
        blank = jnp.zeros_like(part)
        return self.merge(part, blank) if side == 0 else self.merge(blank, part)

    def select(self, theta: Array, side: int) -> Array:
        """The parameters at the pixels of the part on `side`."""
        return self.split(theta)[side]


def _odd_rows(part: Array) -> Array:
    """Which rows are odd, shaped to broadcast against a part."""
    return (jnp.arange(part.shape[1]) % 2 == 1)[None, :, None, None]
