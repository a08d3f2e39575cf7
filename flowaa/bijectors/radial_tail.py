"""A power law's tail of the radius: normal noise to a law like the multivariate Student's.

A base distribution whose coordinates are independent has its far points on the axes (Laszkiewicz et
al. 2022, arXiv 2206.10311), and features that are large together are beyond it. Here the radius
alone is stretched, and far points lie in all directions.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from flowaa.bijectors.base import Array, Bijector
from flowaa.bijectors.half_normal import cumulative_hazard, hazard

_START_SHAPE = 0.5  # where nothing is known of the tail
_ROOM = 9.0  # log of what is left between the largest value that is decoded and infinity
_SMALL = 0.5  # |s| below which (exp(s) - 1 - s) / s^2 is its series
_SERIES = [1 / math.factorial(order) for order in range(2, 18)]
_LOWEST, _HIGHEST = -90.0, 25.0  # between which s is sought
_BISECTIONS, _NEWTON_STEPS = 26, 4


class RadialTail(Bijector):
    """Of rows [B, D] the radius, r = |z|, becomes one of tail index xi > 0; directions stay.

    decode x = sigma z exp(v(s)), with s = log(r^2 / D), and

        v(s) = xi (E(w) - log 2) - (1 - xi) / 2 log((1 + xi exp(s)) / (1 + xi)),
        w = sign(s) (D (exp(s) - 1 - s))^(1/2),    E(w) = -log P(N(0, 1) > w);
        log_det = D (log sigma + v) + log(1 + 2 v'(s)).

    w is the signed root of the deviance of r^2, chi-square's with D degrees, so that E(w) is about
    -log P(|Z| > r) for normal Z. Far out P(|X| > r) falls as r^(-1 / xi): the second term takes
    away the power of r by which E differs from that logarithm, from where the tail begins. x is
    near sigma z at the median radius. `encode` solves log r + v = log(|x| / sigma) for s, by
    bisection and Newton's method.

    At the latent end of a chain the base law becomes that of x, while the latents that `encode`
    returns stay N(0, I): their radius is chi's, and return periods of the latent
    (`flowaa.extremes`) keep their law. In float32 the relative error of z is at most 1e-5, that of
    log_det 2e-5 of 1 + |log_det|, and values of 1e30 have a latent; where x would be larger than
    the dtype has room for, decode gives about 1e34 (in float64 1e304).

    The parameters are log sigma and log xi, of one entry each. sigma starts as that of a normal law
    whose quartiles are ±1.
    """

    start_shape: float = _START_SHAPE  # xi to start from

    @nn.compact
    def _parameters(self) -> tuple[Array, Array]:
        """log sigma and xi, [1] each."""
        log_scale = self.param("log_scale", nn.initializers.constant(-np.log(special.ndtri(0.75))),
                               (1,))
        log_shape = self.param("log_shape", nn.initializers.constant(np.log(self.start_shape)),
                               (1,))
        return jnp.asarray(log_scale), jnp.exp(log_shape)

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = x exp(-v) / sigma."""
        log_scale, shape = self._parameters()
        n_dims = x.shape[-1]
        log_radius = _log_norm(x) - log_scale - math.log(n_dims) / 2
        log_square = _solve(log_radius, shape, n_dims)
        log_stretch, slope = _stretch(log_square, shape, n_dims)
        log_det = -n_dims * (log_scale + log_stretch) - jnp.log1p(2 * slope)
        return x * jnp.exp(-log_scale - log_stretch)[:, None], log_det

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = sigma z exp(v)."""
        log_scale, shape = self._parameters()
        n_dims = z.shape[-1]
        log_square = 2 * _log_norm(z) - math.log(n_dims)
        log_stretch, slope = _stretch(log_square, shape, n_dims)
        largest = np.log(np.finfo(z.dtype).max) - _ROOM
        growth = jnp.exp(jnp.minimum(log_scale + log_stretch, largest))
        log_det = n_dims * (log_scale + log_stretch) + jnp.log1p(2 * slope)
        return z * growth[:, None], log_det


def _stretch(log_square: Array, shape: Array, n_dims: int) -> tuple[Array, Array]:
    """v and v' of s [B]."""
    log_square = jnp.clip(log_square, _LOWEST, _HIGHEST)  # 0, or so far that v has no float32
    square = jnp.exp(log_square)
    deviance, ratio = _deviance(log_square)
    root = jnp.sqrt(n_dims * deviance)
    signed = log_square * root
    # E - log 2 and E': of the upper half they are the half-normal's.
    total, rate = cumulative_hazard(jnp.abs(signed)), hazard(jnp.abs(signed))
    beyond = jnp.exp(-total)
    is_upper = signed >= 0
    log_growth = jnp.where(is_upper, total, -jnp.log(2 - beyond))
    rate = jnp.where(is_upper, rate, rate * beyond / (2 - beyond))
    late = (1 - shape) / 2
    value = shape * log_growth - late * (jnp.log1p(shape * square) - jnp.log1p(shape))
    slope = (shape * rate * n_dims * ratio / (2 * root)
             - late * shape * square / (1 + shape * square))
    return value, slope


def _deviance(s: Array) -> tuple[Array, Array]:
    """(exp(s) - 1 - s) / s^2 and (exp(s) - 1) / s, by series where these lose digits."""
    is_small = jnp.abs(s) < _SMALL
    near, far = jnp.where(is_small, s, 0.0), jnp.where(is_small, 1.0, s)
    series = jnp.zeros_like(s)
    for coefficient in reversed(_SERIES):
        series = series * near + coefficient
    whole = (jnp.expm1(far) - far) / far**2
    return (jnp.where(is_small, series, whole),
            jnp.where(is_small, 1 + near * series, jnp.expm1(far) / far))


def _solve(log_radius: Array, shape: Array, n_dims: int) -> Array:
    """s [B] with s / 2 + v(s) = log_radius."""

    def excess(s: Array) -> tuple[Array, Array]:
        value, slope = _stretch(s, shape, n_dims)
        return s / 2 + value - log_radius, 0.5 + slope

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        is_low = excess(middle)[0] < 0
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    ends = jnp.full_like(log_radius, _LOWEST), jnp.full_like(log_radius, _HIGHEST)
    low, high = jax.lax.stop_gradient(jax.lax.fori_loop(0, _BISECTIONS, halve, ends))
    s = (low + high) / 2
    for _ in range(_NEWTON_STEPS):
        value, slope = excess(s)
        s = jax.lax.stop_gradient(s - value / slope)
    # The last step has the derivatives of the root (implicit function theorem).
    value, slope = excess(s)
    return s - value / jax.lax.stop_gradient(slope)


def _log_norm(x: Array) -> Array:
    """log |x| [B], whose squares neither overflow nor vanish."""
    largest = jax.lax.stop_gradient(jnp.abs(x).max(axis=1))
    largest = jnp.maximum(largest, np.finfo(x.dtype).tiny)
    squares = jnp.sum((x / largest[:, None]) ** 2, axis=1)
    return jnp.log(largest) + jnp.log(jnp.maximum(squares, np.finfo(x.dtype).tiny)) / 2
