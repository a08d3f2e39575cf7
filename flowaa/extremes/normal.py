"""The standard normal law in its tails, far beyond where probabilities underflow."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.extremes import chi, mills

_LOG_TWO = math.log(2)


@jax.jit
def normal_log_survival(z: ArrayLike) -> jax.Array:
    """Logarithm of 1 − Φ(z), for any z [...]; accurate in the upper tail."""
    z = jnp.asarray(z, jnp.result_type(z, float))
    tail = jnp.log(mills.mills_ratio(jnp.abs(z))) - z**2 / 2 - mills.HALF_LOG_TWO_PI
    return jnp.where(z >= 0, tail, jnp.log1p(-jnp.exp(tail)))


@jax.jit
def normal_quantile_from_log_survival(log_survival: ArrayLike) -> jax.Array:
    """The z with ln(1 − Φ(z)) = `log_survival` [...], in nats: any number up to 0.

    The absolute value of a normal variable is chi_1 distributed: its tail has both sides' mass.
    """
    log_survival = jnp.asarray(log_survival, jnp.result_type(log_survival, float))
    upper = log_survival <= -_LOG_TWO
    log_cdf = jax.nn.log1mexp(-jnp.where(upper, -_LOG_TWO, log_survival))
    log_tail = jnp.where(upper, log_survival, log_cdf)
    size = chi.chi_quantile_from_log_survival(jnp.minimum(log_tail + _LOG_TWO, 0), 1)
    return jnp.where(upper, size, -size)
