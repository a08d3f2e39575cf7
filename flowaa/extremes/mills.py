"""The Mills ratio of the normal law: what is left of a tail once its exponential is taken out."""

import math

import jax
import jax.numpy as jnp

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_SWITCH = 3.5  # erfc keeps its relative accuracy up to here, the continued fraction from here on


def mills_ratio(z: jax.Array) -> jax.Array:
    """(1 − Φ(z)) / φ(z) for z ≥ 0.

    Args:
        z: [...] standard scores, not negative.

    Returns:
        [...] ratios, relative error a few units in the last place: √(π/2) at 0, ≈ 1/z far out.
    """
    near = jnp.minimum(z, _SWITCH)
    by_erfc = math.sqrt(math.pi / 2) * jnp.exp(near**2 / 2) * jax.lax.erfc(near / math.sqrt(2))
    far = jnp.maximum(z, _SWITCH)
    fraction = far  # Laplace's continued fraction 1/(z + 1/(z + 2/(z + 3/(z + …))))
    for k in range(_fraction_depth(z.dtype), 0, -1):
        fraction = far + k / fraction
    return jnp.where(z < _SWITCH, by_erfc, 1 / fraction)


def rough_upper_score(log_tail: jax.Array) -> jax.Array:
    """The z whose upper tail has this logarithm, to 5e-4 (Abramowitz and Stegun 26.2.23).

    Args:
        log_tail: [...] logarithms of probabilities up to ½.

    Returns:
        [...] standard scores, a start for Newton steps.
    """
    t = jnp.sqrt(-2 * log_tail)
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    return t - above / below


def _fraction_depth(dtype: jnp.dtype) -> int:
    return 10 if jnp.finfo(dtype).bits <= 32 else 40
