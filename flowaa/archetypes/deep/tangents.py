"""A distance between pictures that small moves do not change, and fine detail changes little.

Pixels far apart in value may be one edge half a pixel away: archetypes of raw pixels are poses. The
tangent distance (Simard, LeCun & Denker 1993, "Efficient pattern recognition using a new
transformation distance") leaves out of a difference what a small shift, rotation, change of size or
of light of the picture would account for. Pictures are blurred first, as there: what moves further
than the blur is wide bends the mixtures of two pictures away from the straight line between them.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array

Change = Literal["shift", "rotation", "scale", "brightness"]
CHANGES: tuple[Change, ...] = get_args(Change)

_RIDGE = 1e-6  # of the tangents' mean square: those of a plain picture vanish


@dataclasses.dataclass(frozen=True)
class TangentDistance:
    """Differences of pictures [B, H, W, C] as they look through a blur, less what is no matter."""

    shape: tuple[int, ...]  # (H, W, C)
    blur_px: float  # standard deviation of the Gaussian; 0 = none
    invariant_to: tuple[Change, ...]
    black: tuple[float, ...]  # of each channel: what changes of light leave as it is

    def blur(self, y: Array) -> Array:
        """Pictures seen through a Gaussian, which is renormalised where it is cut off."""
        if not self.blur_px:
            return y
        height, width = (jnp.asarray(_gaussian(n, self.blur_px)) for n in self.shape[:2])
        return jnp.einsum("ih,bhwc,jw->bijc", height, y, width)

    def tangents(self, y: Array) -> Array:
        """What an infinitesimal change does to pictures y [B, H, W, C]: [B, T, H, W, C]."""
        down, right = jnp.gradient(y, axis=(1, 2))
        rows, columns = (jnp.arange(n) - (n - 1) / 2 for n in self.shape[:2])
        rows, columns = rows[:, None, None], columns[:, None]
        of_change: dict[Change, Callable[[], list[Array]]] = {
            "shift": lambda: [down, right],
            "rotation": lambda: [columns * down - rows * right],
            "scale": lambda: [rows * down + columns * right],
            "brightness": lambda: [y - jnp.asarray(self.black, y.dtype)],
        }
        found = [tangent for change in self.invariant_to for tangent in of_change[change]()]
        return jnp.stack(found, axis=1)

    def without_tangents(self, difference: Array, y: Array) -> Array:
        """Of differences [B, H, W, C], what no small change of pictures y [B, H, W, C] explains."""
        if not self.invariant_to:
            return difference
        tangents = self.tangents(y).reshape(len(y), -1, int(np.prod(self.shape)))
        gram = jnp.einsum("btd,bsd->bts", tangents, tangents)
        n_tangents = gram.shape[-1]
        scale = jnp.trace(gram, axis1=1, axis2=2)[:, None, None] / n_tangents
        # A change that a picture cannot show, as one colour cannot be shifted, explains nothing.
        gram += (_RIDGE * scale + jnp.finfo(gram.dtype).tiny) * jnp.eye(n_tangents)
        flat = difference.reshape(len(difference), -1)
        shares = jnp.linalg.solve(gram, jnp.einsum("btd,bd->bt", tangents, flat)[..., None])
        return (flat - jnp.einsum("bt,btd->bd", shares[..., 0], tangents)).reshape(difference.shape)

    def difference(self, found: Array, wanted: Array) -> Array:
        """What makes pictures found [B, H, W, C] another picture than those wanted [B, H, W, C].

        The tangents are those of the pictures wanted.
        """
        return self.without_tangents(self.blur(found - wanted), self.blur(wanted))

    def centred(self, y: Array, centre: Array) -> Array:
        """Pictures y [B, H, W, C] less their centres [B, H, W, C], such as a class's mean.

        The tangents are those of the centres, so that pictures of one centre are projected alike
        and mixtures of them stay mixtures.
        """
        return self.without_tangents(self.blur(y - centre), self.blur(centre))


def _gaussian(n: int, sigma: float) -> np.ndarray:
    """Weights [n, n] of each position's neighbours; rows sum to one."""
    position = np.arange(n)
    weights = np.exp(-0.5 * np.square((position[:, None] - position) / sigma))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
