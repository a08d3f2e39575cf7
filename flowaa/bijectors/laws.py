"""Coupling laws: the invertible map g(x; theta) of a coupling layer (thesis Def. 2.2.1).

A law maps the target half elementwise; theta comes from a subnet that sees the other half and has
`n_parameters` channels for each channel of the target. Both directions return log|det| [B].
"""

import dataclasses
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Array, sum_per_example, zero_log_det

# Least share of [-bound, bound] of a bin, and least slope at a knot: flatter splines cannot be
# inverted in float32.
_SPLINE_MINIMUM = 1e-2


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


@dataclasses.dataclass(frozen=True)
class Spline:
    """Monotone rational-quadratic spline (Durkan et al. 2019, arXiv 1906.04032).

    It is the identity outside [-bound, bound].
    """

    n_bins: int = 8
    bound: float = 4.0  # in units of the block's input

    @property
    def n_parameters(self) -> int:
        """Widths and heights of the bins, and the slopes at their inner and outer knots."""
        return 3 * self.n_bins + 1

    def forward(self, x: Array, theta: Array) -> tuple[Array, Array]:
        """y = spline(x); log_det = sum log spline'(x)."""
        y, log_slope = self._bijector(x, theta).forward_and_log_det(x)
        return y, sum_per_example(log_slope)

    def inverse(self, y: Array, theta: Array) -> tuple[Array, Array]:
        """x = spline^-1(y); log_det = -sum log spline'(x)."""
        spline = self._bijector(y, theta)
        x = spline.inverse(y)
        # The root of the bin's quadratic loses half its digits in float32; a Newton step, which
        # needs the forward map alone, brings them back.
        near_y, log_slope = spline.forward_and_log_det(x)
        x = x - (near_y - y) * jnp.exp(-log_slope)
        return x, -sum_per_example(spline.forward_log_det_jacobian(x))

    def _bijector(self, x: Array, theta: Array) -> Any:
        import distrax  # here, since it pulls in TFP, and only splines need it

        # distrax makes slopes 1 where their parameter is 0, so a zero theta is the identity.
        return distrax.RationalQuadraticSpline(
            theta.reshape(*x.shape, self.n_parameters), -self.bound, self.bound,
            boundary_slopes="identity",
            min_bin_size=_SPLINE_MINIMUM * 2 * self.bound,
            min_knot_slope=_SPLINE_MINIMUM,
        )


def soft_clamp(raw: Array, clamp: float) -> Array:
    """The smooth clamp (2 clamp / pi) atan(raw / clamp): into (-clamp, clamp).

    Without it exp(s) overflows in float32 after a few bad steps, and the inverse with it.
    """
    return (2.0 * clamp / np.pi) * jnp.arctan(raw / clamp)


