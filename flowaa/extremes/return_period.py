"""Return periods: a level that one draw in n exceeds, and the n of a level.

A return period n is a dial from 1 to beyond float32's range. Where its value is known (a Python or
NumPy number, an array), its logarithm is taken in float64; only traced values are float32.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes import checks, chi


def log_period(
    n: ArrayLike | None, name: str, *, least: float = 1.0, shapes: checks.Shapes | None = None,
) -> jax.Array:
    """ln n [...] of a return period in draws, in the default float type.

    Args:
        n: [...] return period, from `least` to 1.7e308 where its value is known.
        name: what the number is called in the message.
        least: the smallest value allowed.
        shapes: those allowed; None for any.

    Raises:
        UserError: if n is below `least`, infinite or not a number.
    """
    checks.require_positive(n, name, least=least, most=None, shapes=shapes)
    return checks.log_of(n)


def chi_return_level(n: ArrayLike, d: int) -> jax.Array:
    """The radius that one draw of chi_d in n exceeds: the quantile at 1 − 1/n.

    Args:
        n: [...] return period in draws, 1 to 1.7e308.
        d: degrees of freedom.

    Returns:
        [...] radii; 0 for n = 1, as every draw exceeds it.

    Raises:
        UserError: if n < 1 or d < 1.

    >>> round(float(chi_return_level(1e12, 3072)), 3)
    60.466
    """
    return chi.chi_quantile_from_log_survival(-log_period(n, "n, the return period,"), d)


def chi_return_period(r: ArrayLike, d: int) -> jax.Array:
    """How many draws of chi_d it takes, on average, to exceed the radius r: 1/P(R > r).

    Args:
        r: [...] radii.
        d: degrees of freedom.

    Returns:
        [...] return periods in draws, from 1; infinite beyond 3e38, where `chi_log_survival` (of
        which this is exp(−…)) goes on.

    Raises:
        UserError: if d < 1.
    """
    return jnp.exp(-chi.chi_log_survival(r, d))


def gauge_return_level(n: ArrayLike, means: ArrayLike, deviations: ArrayLike) -> jax.Array:
    """The gauge (`exterior.gauge`) that one draw in n exceeds, of normal archetype coordinates.

    The gauge is the largest of the K normal variables K·(1/K − a_i). Its chance to exceed e is at
    most the sum of theirs, Σ (1 − Φ((e − mean_i)/deviation_i)), and in the tail nearly so. The
    level at which that sum is 1/n is found by bisection.

    Args:
        n: [...] return period in draws, at least 1.
        means: [..., K] of K·(1/K − a_i).
        deviations: [..., K] above 0. For coordinates of deviation σ about the centre of a regular
            simplex of unit radius, the means are 0 and the deviations (K − 1)·σ.

    Returns:
        [...] gauges; at least 0, the centre.

    Raises:
        UserError: if n < 1, a deviation is not above 0 or the shapes do not fit.

    >>> round(float(gauge_return_level(1e12, [0.0, 0.0], [1.0, 1.0])), 3)
    7.131
    """
    wanted = -log_period(n, "n, the return period,")
    means = checks.reals(means, "means", least_axes=1)
    checks.require_positive(deviations, "deviations")
    deviations = checks.reals(deviations, "deviations", least_axes=1)
    try:
        jnp.broadcast_shapes(wanted.shape, means.shape[:-1], deviations.shape[:-1])
        jnp.broadcast_shapes(means.shape[-1:], deviations.shape[-1:])
    except ValueError:
        raise UserError(f"n, means and deviations have the shapes {wanted.shape}, {means.shape} "
                        f"and {deviations.shape}; give [...], [..., K] and [..., K]") from None

    def log_chance(level: jax.Array) -> jax.Array:
        scores = (level[..., None] - means) / deviations
        return jax.nn.logsumexp(jax.scipy.stats.norm.logsf(scores), axis=-1)

    # 1 − Φ(z) ≤ exp(−z²/2)/2: at this z all K chances are below 1/(nK).
    z = jnp.sqrt(2 * jnp.maximum(jnp.log(means.shape[-1] / 2) - wanted, 0))
    highest = jnp.maximum(jnp.max(means + z[..., None] * deviations, axis=-1), 0)

    def halve(_: int, interval: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = interval
        middle = 0.5 * (low + high)
        is_likely = log_chance(middle) > wanted
        return jnp.where(is_likely, middle, low), jnp.where(is_likely, high, middle)

    return jax.lax.fori_loop(0, 50, halve, (jnp.zeros_like(highest), highest))[1]
