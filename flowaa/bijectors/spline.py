"""Monotone rational-quadratic splines as a coupling law (Durkan et al. 2019, arXiv 1906.04032).

Parameters and values are those of `distrax.RationalQuadraticSpline`, which the tests compare it
with. Here all scalars are one axis and a spline's bins the axis before it, so that XLA fuses whole
vectors and only the slopes of the bin that is hit are computed, which is faster on a CPU.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Array, sum_per_example

# Least share of [-bound, bound] of a bin, and least slope at a knot: flatter splines cannot be
# inverted in float32.
_LEAST = 1e-2
_PART_VALUES = 160_000  # parameters that lie in a CPU's cache together with what is made of them
# Where the parameter of a slope is 0, the slope is 1.
_UNIT_SLOPE = float(np.log(np.expm1(1 - _LEAST)))


class _Bin(NamedTuple):
    """The piece of each spline that a value falls into; arrays [n]."""

    left: Array
    width: Array
    bottom: Array
    height: Array
    left_slope: Array
    right_slope: Array

    def forward(self, x: Array) -> tuple[Array, Array]:
        """y of x within the bin, and log dy/dx (eq. 4 and 5)."""
        # Beyond the splines' bound x may lie anywhere; what comes of it there is not used.
        at = jnp.clip((x - self.left) / self.width, 0.0, 1.0)
        between = at * (1 - at)
        mean_slope = self.height / self.width
        below = mean_slope + (self.left_slope + self.right_slope - 2 * mean_slope) * between
        above = mean_slope * at ** 2 + self.left_slope * between
        slope = (self.right_slope * at ** 2 + 2 * mean_slope * between
                 + self.left_slope * (1 - at) ** 2)
        return (self.bottom + self.height * above / below,
                2 * jnp.log(mean_slope) + jnp.log(slope) - 2 * jnp.log(below))

    def inverse(self, y: Array) -> Array:
        """x of y within the bin: the root of its quadratic (eq. 6 to 8) in [0, 1]."""
        at = jnp.clip((y - self.bottom) / self.height, 0.0, 1.0)
        mean_slope = self.height / self.width
        excess = self.left_slope + self.right_slope - 2 * mean_slope
        b = self.left_slope - excess * at
        a, c = mean_slope - b, -mean_slope * at
        # Zero at a bin's end only; the floor keeps the square root's gradient finite there.
        root = jnp.sqrt(jnp.maximum(b ** 2 - 4 * a * c, np.finfo(np.float32).tiny))
        # Of the two forms of the root the one that adds numbers of one sign.
        is_positive = b >= 0
        share = jnp.where(is_positive, -2 * c, root - b) / jnp.where(is_positive, b + root, 2 * a)
        return self.left + self.width * jnp.clip(share, 0.0, 1.0)


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
        def forward(at: Array, theta: Array) -> tuple[Array, Array]:
            return self._bin(at, theta, of_y=False).forward(at)

        return self._where_inside(x, *self._in_parts(forward, x, theta))

    def inverse(self, y: Array, theta: Array) -> tuple[Array, Array]:
        """x = spline^-1(y); log_det = -sum log spline'(x)."""
        def inverse(at: Array, theta: Array) -> tuple[Array, Array]:
            piece = self._bin(at, theta, of_y=True)
            x = piece.inverse(at)
            return x, -piece.forward(x)[1]

        return self._where_inside(y, *self._in_parts(inverse, y, theta))

    def _in_parts(self, function: Callable, at: Array, theta: Array) -> tuple[Array, Array]:
        """The function of values [n] and their parameters [n, P], on a CPU a part at a time.

        It passes over its parameters many times, and those of a picture are more than a cache
        holds. What backpropagation needs is computed again in each part, from the cache as well.
        """
        flat, theta = at.ravel(), theta.reshape(at.size, self.n_parameters)
        size = _part_size(at.size, _PART_VALUES // self.n_parameters)
        if size == at.size or jax.default_backend() != "cpu":
            return function(flat, theta)
        part = jax.checkpoint(lambda given: function(*given))
        found = jax.lax.map(part, (flat.reshape(-1, size),
                                   theta.reshape(-1, size, self.n_parameters)))
        return found[0].ravel(), found[1].ravel()

    def _where_inside(self, given: Array, value: Array, log_slope: Array) -> tuple[Array, Array]:
        """Values and log_det [B], of the identity where what is given lies beyond the bound."""
        is_inside = jnp.abs(given) < self.bound
        return (jnp.where(is_inside, value.reshape(given.shape), given),
                sum_per_example(jnp.where(is_inside, log_slope.reshape(given.shape), 0.0)))

    def _bin(self, at: Array, theta: Array, *, of_y: bool) -> _Bin:
        """The bins that values [n] of x, or of y, fall into, by their parameters [n, P]."""
        n_bins, parameters = self.n_bins, theta.T
        left, width = self._edges(parameters[:n_bins])
        bottom, height = self._edges(parameters[n_bins:2 * n_bins])
        end = jnp.zeros_like(at)[None]  # slope 1, that of the identity outside
        slopes = jnp.concatenate([end, parameters[2 * n_bins + 1:-1], end])
        is_beyond = at >= (bottom if of_y else left)[1:]
        everywhere = jnp.ones_like(at, bool)[None]
        is_hit = (jnp.concatenate([everywhere, is_beyond])
                  & ~jnp.concatenate([is_beyond, ~everywhere]))

        def hit(values: Array) -> Array:
            return jnp.where(is_hit, values, 0.0).sum(0)

        return _Bin(hit(left), hit(width), hit(bottom), hit(height),
                    _slope(hit(slopes[:-1])), _slope(hit(slopes[1:])))

    def _edges(self, raw: Array) -> tuple[Array, Array]:
        """Lower edges and sizes [n_bins, n] of bins that fill [-bound, bound]."""
        n_bins, whole = self.n_bins, 2 * self.bound
        sizes = whole * (_LEAST + (1 - n_bins * _LEAST) * jax.nn.softmax(raw, axis=0))
        # One addition after another: XLA compiles `cumsum` on a CPU to a loop over windows.
        # Slices stay slices under `vmap`; an index would become a gather.
        edges = [jnp.full_like(sizes[:1], -self.bound)]
        for index in range(n_bins - 1):
            edges.append(edges[-1] + sizes[index:index + 1])
        return jnp.concatenate(edges), sizes


def _part_size(n: int, most: int) -> int:
    """The largest divisor of n that is at most so many, or n where only small ones are."""
    divisors = [size for size in range(max(most // 4, 1), most + 1) if n % size == 0]
    return n if n <= most or not divisors else divisors[-1]


def _slope(raw: Array) -> Array:
    return _LEAST + jax.nn.softplus(raw + _UNIT_SLOPE)
