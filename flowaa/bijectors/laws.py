"""Coupling laws: the invertible map g(x; theta) of a coupling layer (thesis Def. 2.2.1).

A law maps the target half elementwise; theta comes from a subnet that sees the other half and has
`n_parameters` channels for each channel of the target. Both directions return log|det| [B].
"""

import dataclasses
from typing import Protocol

import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Array, sum_per_example, zero_log_det


class Law(Protocol):
    """An elementwise bijection of the target given parameters."""

    @property
    def n_parameters(self) -> int:
        """Channels of theta per channel of the target."""
        ...

    def forward(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """y = g(x; theta) and log|det dy/dx| [B]."""
        ...

    def inverse(self, y: Array, theta: Array) -> tuple[Array, Array]:
        """x with y = g(x; theta), and log|det dx/dy| [B]."""
        ...


@dataclasses.dataclass(frozen=True)
class Additive:
    """NICE (Dinh et al. 2015, arXiv 1410.8516; thesis eq. 2.4): y = x + t, log_det = 0."""

    n_parameters: int = dataclasses.field(default=1, init=False)

    def forward(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """y = x + t; log_det = 0."""
        return x + theta, zero_log_det(x)

    def inverse(self, y: Array, theta: Array) -> tuple[Array, Array]:
        """x = y - t; log_det = 0."""
        return y - theta, zero_log_det(y)


@dataclasses.dataclass(frozen=True)
class Affine:
    """RealNVP (Dinh et al. 2017, arXiv 1605.08803; thesis eq. 2.5 and 2.6).

    y = x exp(s) + t, with s softly clamped to (-clamp, clamp).
    """

    clamp: float = 1.5
    n_parameters: int = dataclasses.field(default=2, init=False)

    def forward(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """y = x exp(s) + t; log_det = sum s."""
        log_scale, shift = self._log_scale_and_shift(theta)
        return x * jnp.exp(log_scale) + shift, sum_per_example(log_scale)

    def inverse(self, y: Array, theta: Array) -> tuple[Array, Array]:
        """x = (y - t) exp(-s); log_det = -sum s."""
        log_scale, shift = self._log_scale_and_shift(theta)
        return (y - shift) * jnp.exp(-log_scale), -sum_per_example(log_scale)

    def _log_scale_and_shift(self, theta: Array) -> tuple[Array, Array]:
        raw, shift = jnp.split(theta, 2, axis=-1)
        return soft_clamp(raw, self.clamp), shift


@dataclasses.dataclass(frozen=True)
class VolumePreserving:
    """GIN (Sorrenson et al. 2020, arXiv 2001.04872): affine with log-scales that sum to zero."""

    clamp: float = 1.5
    n_parameters: int = dataclasses.field(default=2, init=False)

    def forward(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """y = x exp(s) + t with sum s = 0; log_det = 0."""
        log_scale, shift = self._log_scale_and_shift(theta)
        return x * jnp.exp(log_scale) + shift, zero_log_det(x)

    def inverse(self, y: Array, theta: Array) -> tuple[Array, Array]:
        """x = (y - t) exp(-s); log_det = 0."""
        log_scale, shift = self._log_scale_and_shift(theta)
        return (y - shift) * jnp.exp(-log_scale), zero_log_det(y)

    def _log_scale_and_shift(self, theta: Array) -> tuple[Array, Array]:
        raw, shift = jnp.split(theta, 2, axis=-1)
        log_scale = soft_clamp(raw, self.clamp)
        return log_scale - log_scale.mean(tuple(range(1, raw.ndim)), keepdims=True), shift


def soft_clamp(raw: Array, clamp: float) -> Array:
    """The smooth clamp (2 clamp / pi) atan(raw / clamp): into (-clamp, clamp).

    Without it exp(s) overflows in float32 after a few bad steps, and the inverse with it.
    """
    return (2.0 * clamp / np.pi) * jnp.arctan(raw / clamp)


