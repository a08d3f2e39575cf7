"""Gumbel's law of the largest of n draws, and draws like the largest of n (thesis 3.1.1).

The largest of n draws of a law F with a light tail is asymptotically Gumbel with the norming
constants in quantile form (Fisher and Tippett 1928; Leadbetter, Lindgren and Rootzén 1983),

    location b_n = F⁻¹(1 − 1/n),   scale a_n = 1/(n f(b_n)).

The convergence is slow, of order 1/ln n, because the tails of normal and chi laws fall faster than
an exponential: at n = 10⁴ the distribution functions differ by about 0.02. `sample_gumbel` draws by
the exact law Fⁿ: with E exponential, the largest of n draws has the survival probability
1 − exp(−E/n), for every n from 1 (an ordinary draw) to 1e300.
"""

import functools

import jax
import jax.numpy as jnp
from distrax import Gumbel
from jax.typing import ArrayLike

from flowaa.arguments import random_key
from flowaa.errors import UserError
from flowaa.extremes import checks, chi
from flowaa.extremes.chi import log_period
from flowaa.extremes.sampling import place, uniform_directions, uniform_open


def gumbel_of_radius(d: int, n: ArrayLike) -> Gumbel:
    """The asymptotic law of the largest length among n standard normal vectors of d dimensions.

    Args:
        d: dimensions, 1 to 1e7.
        n: [...] number of draws, at least 2; it need not be whole, and may be 1e300.

    Returns:
        Gumbel law of batch shape [...], of radii in units of the coordinates' deviation.

    Raises:
        UserError: if d < 1 or n < 2.

    >>> law = gumbel_of_radius(3072, 10_000)
    >>> round(float(law.loc), 3), round(float(law.scale), 3)
    (58.07, 0.181)
    """
    return _limit(log_period(n, "n, the number of draws,", least=2), d)


def gumbel_of_normal(n: ArrayLike) -> Gumbel:
    """The asymptotic law of the largest of n standard normal draws.

    Half of the draws are positive, and those are chi_1 distributed.

    Args:
        n: [...] number of draws, at least 2; it need not be whole, and may be 1e300.

    Returns:
        Gumbel law of batch shape [...].

    Raises:
        UserError: if n < 2.
    """
    return _limit(log_period(n, "n, the number of draws,", least=2) - jnp.log(2.0), 1)


def sample_gumbel(
    key: jax.Array,
    n: int,
    d: int,
    *,
    extremeness: ArrayLike,
    law: str = "exact",
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> jax.Array:
    """Draws like the furthest of `extremeness` normal draws, in a uniform direction.

    Args:
        key: a random key.
        n: draws.
        d: dimensions.
        extremeness: return period in draws: each result is as far out as the furthest of so many;
            at least 1, an ordinary draw. A number, or one a row, [n].
        law: of the radius: "exact", chi_d's distribution function to the power `extremeness`, or
            "gumbel", its limit, which needs an extremeness of at least 2.
        mean: centre of each row's class, [n, d], [d] or a number.
        scale: deviations of each row's class, likewise.

    Returns:
        z [n, d] in the default float type.

    Raises:
        UserError: if a value is outside its range, the law is unknown, or memory cannot hold so
            many draws.
    """
    key = random_key(key)
    n, d = checks.require_draws(n, d)
    mean, scale = checks.gaussian(mean, scale, n, d)
    if law not in ("exact", "gumbel"):
        raise UserError(f"law {law!r}: the radius is drawn by the 'exact' or the 'gumbel' law")
    log_n = log_period(extremeness, "extremeness, the return period,",
                       least=1 if law == "exact" else 2, shapes=checks.rows(n))
    return _furthest(key, log_n, mean, scale, n, d, law == "exact")


def _limit(log_n: jax.Array, d: int) -> Gumbel:
    location = chi.chi_quantile_from_log_survival(-log_n, d)
    return Gumbel(location, 1 / chi.chi_hazard(location, d))  # n f(b) = f(b)/P(R > b)


@functools.partial(jax.jit, static_argnames=("n", "d", "exact"))
def _furthest(
    key: jax.Array, log_n: jax.Array, mean: ArrayLike, scale: ArrayLike, n: int, d: int,
    exact: bool,
) -> jax.Array:
    direction_key, radius_key = jax.random.split(key)
    exponential = -jnp.log1p(-uniform_open(radius_key, (n,)))
    if exact:
        log_ratio = jnp.log(exponential) - jnp.broadcast_to(log_n, (n,))  # of E/n
        # 1 − exp(−E/n) is E/n to the last digit where E/n is small, also where it underflows.
        log_survival = jnp.where(log_ratio < -20, log_ratio,
                                 jnp.log(-jnp.expm1(-jnp.exp(jnp.maximum(log_ratio, -20)))))
        radius = chi.chi_quantile_from_log_survival(log_survival, d)
    else:
        limit = _limit(log_n, d)
        # The limit law has mass below zero where d and n are small; no radius lies there.
        radius = jnp.maximum(limit.loc - limit.scale * jnp.log(exponential), 0)
    return place(radius[:, None] * uniform_directions(direction_key, n, d), mean, scale)
