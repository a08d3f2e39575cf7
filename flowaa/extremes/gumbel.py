"""The Gumbel law of a maximum, for normal draws and for radii (thesis 3.1.1).

The largest of n draws of a law F with a light tail is asymptotically Gumbel with the norming
constants in quantile form (Fisher and Tippett 1928; Leadbetter, Lindgren and Rootzén 1983),

    location b_n = F⁻¹(1 − 1/n),   scale a_n = 1/(n f(b_n)).

The convergence is slow, of order 1/ln n, because the tails of normal and chi laws fall faster than
an exponential: at n = 10⁴ the distribution functions differ by about 0.02. Where that matters use
the exact law F^n (`flowaa.extremes.maximum`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from flowaa.extremes import checks, chi, mills, normal
from flowaa.extremes.distribution import Gumbel


def gumbel_of_normal(n: ArrayLike) -> Gumbel:
    """The asymptotic law of the largest of n standard normal draws.

    Args:
        n: [...] number of draws, at least 2; it need not be whole, and may be 1e300.

    Returns:
        Gumbel law of batch shape [...].

    Raises:
        UserError: if n < 2.
    """
    checks.require_positive(n, "n, the number of draws,", least=2)
    location = normal.normal_quantile_from_log_survival(-checks.log_of(n))
    return Gumbel(location, mills.mills_ratio(location))  # 1/(n φ(b)) = (1 − Φ(b))/φ(b)


def gumbel_of_radius(d: int, n: ArrayLike) -> Gumbel:
    """The asymptotic law of the largest length among n standard normal vectors of d dimensions.

    Args:
        d: dimensions, 1 to 1e7.
        n: [...] number of draws, at least 2; it need not be whole, and may be 1e300.

    Returns:
        Gumbel law of batch shape [...], of radii in units of the coordinates' deviation.

    Raises:
        UserError: if d < 1 or n < 2.
    """
    d = checks.require_count(d, "d, the number of dimensions,")
    checks.require_positive(n, "n, the number of draws,", least=2)
    log_tail = -jnp.asarray(checks.log_of(n), jnp.result_type(float))
    location = chi.chi_quantile_from_log_survival(log_tail, d)
    return Gumbel(location, jnp.exp(log_tail - chi.chi_log_prob(location, d)))


def return_level(law: Gumbel, period: ArrayLike) -> jax.Array:
    """The level that one block maximum in `period` exceeds.

    Args:
        law: Gumbel law of the maximum of a block.
        period: [...] return period in blocks, above 1.

    Returns:
        [...] levels, in the units of the maxima.

    Raises:
        UserError: if the period is not above 1.
    """
    return law.loc + law.scale * reduced_level(period)


def return_period(law: Gumbel, level: ArrayLike) -> jax.Array:
    """How many blocks it takes, on average, until a maximum exceeds `level`: 1/(1 − G(level)).

    Args:
        law: Gumbel law of the maximum of a block.
        level: [...] levels.

    Returns:
        [...] return periods in blocks, from 1; infinite beyond 3e38.
    """
    return -1 / jnp.expm1(law.log_cdf(level))


def reduced_level(period: ArrayLike) -> jax.Array:
    """−ln(−ln(1 − 1/T)): the return level of the standard Gumbel law, ≈ ln T.

    Args:
        period: [...] return period T in blocks, above 1.

    Raises:
        UserError: if a period is not above 1.
    """
    checks.require_inside(period, "the return period", 1, np.inf)
    log_period = jnp.asarray(checks.log_of(period), jnp.result_type(float))
    # −ln(1 − 1/T) = 1/T + 1/(2T²) + … has the logarithm −ln T where T is beyond float32's reach.
    return jnp.where(log_period > 40, log_period,
                     -jnp.log(-jax.nn.log1mexp(jnp.minimum(log_period, 40))))
