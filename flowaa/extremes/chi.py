"""The chi law: the length of a standard normal vector in d dimensions (thesis eq. 3.1–3.4).

float32 incomplete gamma functions lose their digits far out, so tails and quantiles come from a
table of SciPy's float64 values (`chi_table`). A float32 probability cannot lie close to one: ask
for the survival function (or its logarithm) in the upper tail, and for the cdf in the lower.
`d` is a Python integer, 1 to 10⁷ (it fixes the constants of the compiled program; beyond, float32
hardly tells the radii apart, and it is refused); all else may be traced, mapped and differentiated.
NaN gives NaN.

A return period n is a dial from 1 to beyond float32's range. Where its value is known (a Python or
NumPy number, an array), its logarithm is taken in float64; only traced values are float32.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.extremes import checks, chi_table

_LOG_HALF = math.log(0.5)
_LARGEST_D = 10**7
# v(d) = ½ − 1/(8d) − 1/(16d²) + …, from the series of a ratio of gamma functions (DLMF 5.11.13).
_VARIANCE_SERIES = (1 / 2, -1 / 8, -1 / 16, 5 / 128, 23 / 256, -53 / 1024, -593 / 2048)
_VARIANCE_STEPS = 8  # of two degrees each: the series is used at d > 16, where it is exact to 1e-9


def chi_moments(d: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of chi_d, the length of a standard normal vector (thesis eq. 3.4).

    In float32 the ratio of gamma functions and the variance d − mean² lose every digit at d = 3072.
    So the variance v comes first, from its series in 1/d at d + 16 and, downwards, from
    v(d) = d/(d + 1)² + v(d + 2)·(d/(d + 1))², a sum of positive terms. The mean is √(d − v).

    Args:
        d: degrees of freedom, 1 to 1e7: an integer, or an array [...] of them.

    Returns:
        mean: [...] in the default float type, relative error ≤ 1e-6 in float32.
        variance: [...] likewise; it tends to ½ as d grows.

    Raises:
        UserError: if d is not within 1 and 1e7.

    >>> [round(float(moment), 4) for moment in chi_moments(3072)]
    [55.4211, 0.5]
    """
    checks.require_positive(d, "d, the number of dimensions,", least=1, most=_LARGEST_D)
    return _moments(jnp.asarray(d, jnp.result_type(float)))


@jax.jit
def _moments(d: jax.Array) -> tuple[jax.Array, jax.Array]:
    start = d + 2 * _VARIANCE_STEPS
    variance = jnp.zeros_like(d)
    for coefficient in reversed(_VARIANCE_SERIES):
        variance = variance / start + coefficient
    for step in reversed(range(_VARIANCE_STEPS)):
        lower = d + 2 * step
        ratio = lower / (lower + 1)
        variance = ratio / (lower + 1) + variance * ratio**2
    return jnp.sqrt(d - variance), variance


def chi_log_prob(r: ArrayLike, d: int) -> jax.Array:
    """Log density in nats per unit of r; −inf at negative r.

    Args:
        r: [...] radii.
        d: degrees of freedom.

    Raises:
        UserError: if d < 1, as in all functions of this law.
    """
    return _log_density(checks.reals(r, "r, the radius,"), _dimension(d))


def chi_log_cdf(r: ArrayLike, d: int) -> jax.Array:
    """Logarithm of P(R ≤ r), for radii r [...]; accurate in the lower tail."""
    return _tails(checks.reals(r, "r, the radius,"), _dimension(d)).log_cdf


def chi_log_survival(r: ArrayLike, d: int) -> jax.Array:
    """Logarithm of P(R > r), for radii r [...]; accurate in the upper tail."""
    return _tails(checks.reals(r, "r, the radius,"), _dimension(d)).log_survival


def chi_hazard(r: ArrayLike, d: int) -> jax.Array:
    """f(r)/P(R > r) at radii r [...], per unit of r: the slope of −`chi_log_survival`."""
    return _tails(checks.reals(r, "r, the radius,"), _dimension(d)).hazard


def chi_quantile(q: ArrayLike, d: int) -> jax.Array:
    """The radius below which a share q of chi_d lies.

    Args:
        q: [...] probabilities in [0, 1]. Near 1 a float32 has no resolution: use
            `chi_quantile_from_log_survival`.
        d: degrees of freedom.

    Returns:
        [...] radii; NaN outside [0, 1].
    """
    return _quantile(checks.reals(q, "q, the probability,"), _dimension(d))


def chi_quantile_from_log_survival(log_survival: ArrayLike, d: int) -> jax.Array:
    """The radius r with ln P(R > r) = `log_survival` [...], in nats, from 0 down to −780.

    NaN at other values, but for −inf, where r is infinite.
    """
    return _quantile_of_survival(checks.reals(log_survival, "log_survival"), _dimension(d))


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
    return chi_quantile_from_log_survival(-log_period(n, "n, the return period,"), d)


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
    return jnp.exp(-chi_log_survival(r, d))


_log_density = jax.jit(chi_table.log_density, static_argnums=1)
_tails = jax.jit(chi_table.tails, static_argnums=1)


@functools.partial(jax.jit, static_argnums=1)
def _quantile(q: jax.Array, d: int) -> jax.Array:
    upper = q > 0.5
    log_tail = jnp.where(upper, jnp.log1p(-jnp.where(upper, q, 0)),
                         jnp.log(jnp.where(upper, 1, q)))
    return chi_table.quantile(log_tail, upper, d)


@functools.partial(jax.jit, static_argnums=1)
def _quantile_of_survival(log_survival: jax.Array, d: int) -> jax.Array:
    upper = log_survival < _LOG_HALF
    lower_tail = jax.nn.log1mexp(-jnp.where(upper, _LOG_HALF, log_survival))
    return chi_table.quantile(jnp.where(upper, log_survival, lower_tail), upper, d)


def _dimension(d: int) -> int:
    return checks.require_count(d, "d, the number of dimensions,", most=_LARGEST_D)
