"""A power law's tails for a flow of normal noise (Hickling & Prangle 2025, arXiv 2406.16971).

A Lipschitz map of Gaussian noise has Gaussian tails (Jaini et al. 2020, arXiv 1907.04481), and a
flow of affine and spline couplings far out is one. This block is not: it takes a normal tail to a
generalised Pareto tail, and back.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Array, Bijector, sum_per_example
from flowaa.bijectors.half_normal import (
    cumulative_hazard,
    hazard,
    inverse_cumulative_hazard,
)

_START_SHAPE = 0.5  # where nothing is known of the tails
_ROOM = 9.0  # log of what is left between the largest value that is decoded and infinity


class TailTransform(Bijector):
    """Each feature of rows [B, D] by itself, with tail indices xi of its lower and upper tail.

    decode x = mu + s sigma (S(|z|)^(-xi) - 1) / xi, where s = sign(z), S(|z|) = erfc(|z| / sqrt 2)
    and xi > 0 is that of the side s: for normal z, P(|x - mu| > r) on a side is the generalised
    Pareto law's, half of (1 + xi r / sigma)^(-1 / xi). With H = -log S and its derivative h,

        encode: L = log(1 + xi |x - mu| / sigma), z = s H^-1(L / xi), log_det = -sum (log sigma + L
        + log h(|z|));    decode: log_det = sum (log sigma + xi H(|z|) + log h(|z|)).

    S itself, which vanishes beyond |z| = 14, is never computed: float32 values of 1e30 have a
    latent. In float32 the relative error of z is at most 1e-6, that of log_det at most 1e-6 of
    1 + |log_det|. Where x would be larger than the dtype has room for, decode gives about 1e34 (in
    float64 1e304). The density of x is continuous, with a kink at mu.

    At the data's end of a chain it gives data their tails. At the latent end the base law becomes
    that of the x above, while the latents that `encode` returns stay N(0, 1): their radius is
    chi's, and return periods of the latent (`flowaa.extremes`) keep their law.

    The parameters are mu, log sigma and log xi. sigma starts so that the quartiles of x are at
    mu ± 1, on the average of both sides: with mu = 0, those of rows in units of median and half the
    interquartile range.
    """

    features: tuple[int, ...] = ()  # columns that it changes; () = all
    # (lower, upper) xi of each of these columns to start from; () = 1/2, one pair = that for all
    start_shapes: tuple[tuple[float, float], ...] = ()

    @nn.compact
    def _parameters(self, n: int) -> tuple[Array, Array, Array, Array]:
        """mu, log sigma, and xi of the lower and of the upper tail, [n] each."""
        shapes = np.broadcast_to(self.start_shapes or (_START_SHAPE,) * 2, (n, 2))

        def parameter(name: str, start: np.ndarray) -> Array:
            return self.param(name, lambda _: jnp.asarray(start, jnp.float32))

        # S(|z|) is 1/2 at the quartiles of z.
        quartiles = np.expm1(np.log(2) * shapes) / shapes
        return (self.param("location", nn.initializers.zeros, (n,)),
                parameter("log_scale", -np.log(quartiles.mean(1))),
                jnp.exp(parameter("log_lower_shape", np.log(shapes[:, 0]))),
                jnp.exp(parameter("log_upper_shape", np.log(shapes[:, 1]))))

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = s H^-1(log(1 + xi |x - mu| / sigma) / xi)."""
        given = self._of_features(x)
        location, log_scale, lower, upper = self._parameters(given.shape[-1])
        away = (given - location) * jnp.exp(-log_scale)
        side, shape = _side(away), jnp.where(away < 0, lower, upper)
        log_growth = jnp.log1p(shape * side * away)
        distance = inverse_cumulative_hazard(log_growth / shape)
        log_slope = log_scale + log_growth + jnp.log(hazard(distance))
        return self._with_features(x, side * distance), -sum_per_example(log_slope)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = mu + s sigma (exp(xi H(|z|)) - 1) / xi."""
        given = self._of_features(z)
        location, log_scale, lower, upper = self._parameters(given.shape[-1])
        side, shape = _side(given), jnp.where(given < 0, lower, upper)
        distance = side * given
        log_growth = shape * cumulative_hazard(distance)
        largest = np.log(np.finfo(given.dtype).max) - _ROOM
        away = jnp.expm1(jnp.minimum(log_growth, largest)) / shape
        log_slope = log_scale + log_growth + jnp.log(hazard(distance))
        x = location + side * away * jnp.exp(log_scale)
        return self._with_features(z, x), sum_per_example(log_slope)

    def _of_features(self, values: Array) -> Array:
        """The columns that change."""
        return values[:, np.asarray(self.features)] if self.features else values

    def _with_features(self, values: Array, changed: Array) -> Array:
        """`values` with the columns that changed."""
        if not self.features:
            return changed
        return values.at[:, np.asarray(self.features)].set(changed)


def _side(values: Array) -> Array:
    """±1; at 0, where `jnp.abs` has no derivative, +1."""
    return jnp.where(values < 0, -1.0, 1.0).astype(values.dtype)
