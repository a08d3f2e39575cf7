"""Maps that move entries between space and channels and keep volume: log_det = 0."""

import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Array, Bijector, zero_log_det


class Squeeze(Bijector):
    """Pixel shuffle: [B, H, W, C] to [B, H / 2, W / 2, 4 C].

    i-RevNet's (Jacobsen et al. 2018, arXiv 1802.07088; thesis Fig. 2.3).

    Channels come out grouped by their place in the 2 x 2 patch: (0, 0), (0, 1), (1, 0), (1, 1).
    """

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Space to channels."""
        return _space_to_channels(x), zero_log_det(x)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Channels to space."""
        return _channels_to_space(z), zero_log_det(z)


# Rows: average, horizontal, vertical and diagonal detail of (0, 0), (0, 1), (1, 0), (1, 1).
# The matrix is orthonormal and its own inverse.
_HAAR = 0.5 * np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


class Haar(Bijector):
    """The orthonormal 2 x 2 Haar wavelet, averages first: [B, H, W, C] to [B, H/2, W/2, 4C]."""

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Squeeze, then the wavelet along the patch."""
        return _wavelet(_space_to_channels(x)), zero_log_det(x)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """The wavelet, which is its own inverse, then the squeeze undone."""
        return _channels_to_space(_wavelet(z)), zero_log_det(z)


class Flatten(Bijector):
    """[B, H, W, C] to [B, H W C]."""

    shape: tuple[int, ...]  # (H, W, C) of one example, for `decode`

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Row by row, channels innermost."""
        return x.reshape(x.shape[0], -1), zero_log_det(x)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Back to the image."""
        return z.reshape(z.shape[0], *self.shape), zero_log_det(z)


def _space_to_channels(x: Array) -> Array:
    """[B, H, W, C] to [B, H / 2, W / 2, 4 C]."""
    if x.ndim != 4 or x.shape[1] % 2 or x.shape[2] % 2:
        raise ValueError(f"squeezing needs an image with even sides, not {x.shape[1:]}")
    n, h, w, c = x.shape
    patches = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return patches.reshape(n, h // 2, w // 2, 4 * c)


def _channels_to_space(z: Array) -> Array:
    """The inverse of `_space_to_channels`."""
    n, h, w, c = z.shape
    patches = z.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return patches.reshape(n, 2 * h, 2 * w, c // 4)


def _wavelet(patches: Array) -> Array:
    """The Haar matrix along the four places of each patch."""
    c = patches.shape[-1] // 4
    matrix = jnp.asarray(np.kron(_HAAR, np.eye(c)), patches.dtype)
    return jnp.matmul(patches, matrix, precision="highest")
