"""A distance between pictures to which small changes of a picture make no difference.

Two pictures of one edge, half a pixel apart, differ much in their pixels: archetypes of raw pixels
are poses. The tangent distance (Simard, LeCun & Denker 1993, "Efficient pattern recognition using a
new transformation distance", NIPS 5) subtracts from a difference the part that a small shift,
rotation, or change of size or brightness explains, to first order. How small is set by a prior: a
standard deviation for each kind of change. Pictures are blurred first, as in that paper: mixtures
of a picture and its copy moved by more than the width of its edges are not moved pictures.
"""

import dataclasses
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax import Array

from flowaa.archetypes.deep.losses import safe_norm

Change = Literal["shift", "rotation", "scale", "brightness"]
CHANGES: tuple[Change, ...] = get_args(Change)

# Standard deviation, in model units, of the pixels' differences that are no change of the picture.
# It decides between changes that look alike, and keeps one that cannot be seen (a plain picture's
# shift) at zero: explanations that gain less than this are not worth their prior's price.
_RESIDUAL = 0.1
_PRIOR_SHARE = 0.95  # probability under the prior of the changes that make no difference


@dataclasses.dataclass(frozen=True)
class ChangeSizes:
    """Standard deviations of the changes that make no difference; 0: any such change counts."""

    shift_px: float = 0.0  # along rows and along columns
    rotation_degrees: float = 0.0
    scale_percent: float = 0.0  # of the size
    brightness_percent: float = 0.0  # of the distance from black


@dataclasses.dataclass(frozen=True)
class TangentDistance:
    """Differences of pictures [B, H, W, C] in model units, through a blur, less small changes."""

    shape: tuple[int, ...]  # (H, W, C)
    blur_px: float  # standard deviation of the Gaussian; 0 = none
    sizes: ChangeSizes
    black: tuple[float, ...]  # of each channel, in model units

    def blur(self, u: Array) -> Array:
        """Pictures through a Gaussian, whose weights are renormalised where the border cuts it."""
        if not self.blur_px:
            return u
        height, width = (jnp.asarray(_gaussian(n, self.blur_px)) for n in self.shape[:2])
        return jnp.einsum("ih,bhwc,jw->bijc", height, u, width)

    def tangents(self, u: Array) -> Array:
        """Changes [B, T, H, W, C] of pictures u [B, H, W, C] by a standard deviation of each kind.

        T counts the kinds whose standard deviation is not zero, a shift twice; T ≥ 1.
        """
        down, right = jnp.gradient(u, axis=(1, 2))
        rows, columns = (jnp.arange(n) - (n - 1) / 2 for n in self.shape[:2])
        rows, columns = rows[:, None, None], columns[:, None]
        by_size = (
            (self.sizes.shift_px, down),
            (self.sizes.shift_px, right),
            (np.deg2rad(self.sizes.rotation_degrees), columns * down - rows * right),
            (self.sizes.scale_percent / 100, rows * down + columns * right),
            (self.sizes.brightness_percent / 100, u - jnp.asarray(self.black, u.dtype)),
        )
        return jnp.stack([size * tangent for size, tangent in by_size if size], axis=1)

    def without_changes(self, difference: Array, u: Array) -> Array:
        """Of differences [B, H, W, C], the part that no small change of pictures u explains.

        With difference = Σ_i a_i tangent_i + residual, a ~ N(0, I) and residual ~ N(0, σ² I), the
        most probable a is that of ridge regression. A change beyond the prior's 95 % region
        ‖a‖ ≤ r is shortened to its boundary, and what exceeds it remains in the difference.
        """
        if self.sizes == ChangeSizes():
            return difference
        tangents = self.tangents(u).reshape(len(u), -1, int(np.prod(self.shape)))
        n_changes = tangents.shape[1]
        flat = difference.reshape(len(difference), -1)
        gram = jnp.einsum("btd,bsd->bts", tangents, tangents)
        a = jnp.linalg.solve(gram + _RESIDUAL**2 * jnp.eye(n_changes),
                             jnp.einsum("btd,bd->bt", tangents, flat)[..., None])[..., 0]
        radius = float(np.sqrt(scipy.stats.chi2.ppf(_PRIOR_SHARE, n_changes)))
        a *= radius / jnp.maximum(safe_norm(a), radius)[:, None]
        return (flat - jnp.einsum("bt,btd->bd", a, tangents)).reshape(difference.shape)

    def difference(self, u: Array, target: Array) -> Array:
        """Of pictures u from the pictures target, whose small changes make no difference."""
        return self.without_changes(self.blur(u - target), self.blur(target))

    def centred(self, u: Array, centre: Array) -> Array:
        """Of pictures u from their centres [B, H, W, C], such as the mean picture of their class.

        The changes are those of the centres, so that mixtures of pictures with the same centre
        remain mixtures.
        """
        return self.without_changes(self.blur(u - centre), self.blur(centre))


def _gaussian(n: int, sigma: float) -> np.ndarray:
    """Weights [n, n] of each position's neighbours; rows sum to one."""
    position = np.arange(n)
    weights = np.exp(-0.5 * np.square((position[:, None] - position) / sigma))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
