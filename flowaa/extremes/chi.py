"""The chi law: the length of a standard normal vector in d dimensions (thesis eq. 3.1–3.4).

Accurate in float32 for any d from 1 to 1e7, far into both tails; float64 input gives float64. A
float32 probability can't be close to one, so ask for the survival function (or its logarithm) in
the upper tail, and for the cdf in the lower.

`d` is a Python integer (it fixes the constants of the compiled program); the rest may be traced,
mapped and differentiated.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.extremes import checks, mills, temme
from flowaa.extremes.chi_tails import half_deviance, log_density_slope, relative_excess, tails

_LOG_HALF = math.log(0.5)
_NEWTON_STEPS = 8


@functools.partial(jax.jit, static_argnums=1)
def chi_log_prob(r: ArrayLike, d: int) -> jax.Array:
    """Log density in nats per unit of r; −inf at negative r.

    Args:
        r: [...] radii.
        d: degrees of freedom.

    Raises:
        UserError: if d < 1, as in all functions of this law.
    """
    d = _dimension(d)
    return _log_prob(_as_float(r), d)


@functools.partial(jax.jit, static_argnums=1)
def chi_log_cdf(r: ArrayLike, d: int) -> jax.Array:
    """Logarithm of P(R ≤ r), for radii r [...]; accurate in the lower tail."""
    d = _dimension(d)
    return tails(_as_float(r), d).log_cdf


@functools.partial(jax.jit, static_argnums=1)
def chi_log_survival(r: ArrayLike, d: int) -> jax.Array:
    """Logarithm of P(R > r), for radii r [...]; accurate in the upper tail."""
    d = _dimension(d)
    return tails(_as_float(r), d).log_survival


@functools.partial(jax.jit, static_argnums=1)
def chi_quantile(q: ArrayLike, d: int) -> jax.Array:
    """The radius below which a share q of chi_d lies.

    Args:
        q: [...] probabilities in [0, 1]. Near 1 a float32 has no resolution: use
            `chi_quantile_from_log_survival`.
        d: degrees of freedom.

    Returns:
        [...] radii; NaN outside [0, 1].
    """
    d = _dimension(d)
    q = _as_float(q)
    upper = q > 0.5
    log_tail = jnp.where(upper, jnp.log1p(-jnp.where(upper, q, 0)),
                         jnp.log(jnp.where(upper, 1, q)))
    return _solve(log_tail, upper, d)


@functools.partial(jax.jit, static_argnums=1)
def chi_quantile_from_log_survival(log_survival: ArrayLike, d: int) -> jax.Array:
    """The radius r with ln P(R > r) = `log_survival` [...], in nats: any number up to 0."""
    d = _dimension(d)
    log_survival = _as_float(log_survival)
    upper = log_survival < _LOG_HALF
    return _solve(_smaller_tail(log_survival, upper), upper, d)


@functools.partial(jax.jit, static_argnums=1)
def chi_quantile_from_log_cdf(log_cdf: ArrayLike, d: int) -> jax.Array:
    """The radius r with ln P(R ≤ r) = `log_cdf` [...], in nats: any number up to 0."""
    d = _dimension(d)
    log_cdf = _as_float(log_cdf)
    lower = log_cdf < _LOG_HALF
    return _solve(_smaller_tail(log_cdf, lower), ~lower, d)


def chi_return_level(n: ArrayLike, d: int) -> jax.Array:
    """The radius that one draw of chi_d in n exceeds: the quantile at 1 − 1/n.

    Args:
        n: [...] return period in draws, at least 1; as large as 1e300 where it is a Python number.
        d: degrees of freedom.

    Returns:
        [...] radii; 0 for n = 1, as every draw exceeds it.

    Raises:
        UserError: if n < 1 or d < 1.
    """
    checks.require_positive(n, "n, the return period,", least=1)
    return chi_quantile_from_log_survival(-checks.log_of(n), d)


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


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_prob(r: jax.Array, d: int) -> jax.Array:
    inside = jnp.clip(r, 0, jnp.finfo(r.dtype).max)
    excess = relative_excess(inside, d)
    # Near √d the powers of r cancel against exp(−r²/2): use the deviance, f ∝ exp(−½z²)/r. Far from
    # it use the plain form, which stays finite at r = 0.
    near = jnp.abs(excess) < 0.5
    bulk = -jnp.log1p(jnp.where(near, excess, 0)) - half_deviance(
        jnp.where(near, inside, math.sqrt(d)), d)
    plain = -d * (excess + excess**2 / 2)
    if d > 1:
        plain += (d - 1) * jnp.log(jnp.where(near, 1, inside / math.sqrt(d)))
    constant = -0.5 * math.log(math.pi) - temme.log_scaled_gamma(d / 2)
    return jnp.where(r < 0, -jnp.inf, constant + jnp.where(near, bulk, plain))


@_log_prob.defjvp
def _log_prob_jvp(
    d: int, primals: tuple[jax.Array], tangents: tuple[jax.Array],
) -> tuple[jax.Array, jax.Array]:
    (r,), (r_dot,) = primals, tangents
    return _log_prob(r, d), log_density_slope(r, d) * r_dot


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _solve(log_tail: jax.Array, upper: jax.Array, d: int) -> jax.Array:
    """The radius whose upper (or else lower) tail has the logarithm `log_tail` [...], ≤ ln ½.

    Both tails' logarithms are concave in ln r, so Newton steps in ln r converge from any start.
    """
    limits = jnp.finfo(log_tail.dtype)
    smallest = float(limits.tiny)
    target = jnp.clip(log_tail, float(limits.min) / 4, -smallest)

    def newton_step(_: jax.Array, r: jax.Array) -> jax.Array:
        at = tails(r, d)
        missing = target - jnp.where(upper, at.log_survival, at.log_cdf)
        slope = r * jnp.where(upper, -at.hazard, at.reversed_hazard)
        return jnp.maximum(r * jnp.exp(missing / slope), smallest)

    start = jnp.maximum(_rough_quantile(target, upper, d), smallest)
    r = jax.lax.fori_loop(0, _NEWTON_STEPS, newton_step, start)
    r = jnp.where(r > smallest, r, 0)  # below what the float type can hold
    r = jnp.where(jnp.isneginf(log_tail), jnp.where(upper, jnp.inf, 0), r)
    return jnp.where(log_tail <= 0, r, jnp.nan)


@_solve.defjvp
def _solve_jvp(
    d: int, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    (log_tail, upper), (log_tail_dot, _) = primals, tangents
    r = _solve(log_tail, upper, d)
    at = tails(r, d)
    return r, log_tail_dot / jnp.where(upper, -at.hazard, at.reversed_hazard)


def _rough_quantile(log_tail: jax.Array, upper: jax.Array, d: int) -> jax.Array:
    """A start for `_solve`: Wilson and Hilferty's cube root, held to what is known of the tails."""
    a = d / 2
    score = jnp.where(upper, 1, -1) * mills.rough_upper_score(log_tail)
    root = jnp.maximum(1 - 1 / (9 * a) + score / (3 * math.sqrt(a)), 0.01)
    log_ratio = 1.5 * jnp.log(root)  # ln(r/√d)
    # P ≤ x^a/Γ(a+1) below, and P(R > √d + t) ≤ exp(−t²/2) above (Gaussian concentration).
    least = ((log_tail + math.lgamma(a + 1)) / a - math.log(a)) / 2
    most = jnp.log1p(jnp.sqrt(-2 * log_tail / d))
    log_ratio = jnp.where(upper, jnp.minimum(log_ratio, most), jnp.maximum(log_ratio, least))
    return math.sqrt(d) * jnp.exp(log_ratio)


def _smaller_tail(log_probability: jax.Array, is_smaller: jax.Array) -> jax.Array:
    """Logarithm of the smaller of a probability and its complement, given which it is."""
    safe = jnp.where(is_smaller, _LOG_HALF, log_probability)
    return jnp.where(is_smaller, log_probability, jax.nn.log1mexp(-safe))


def _dimension(d: int) -> int:
    return checks.require_count(d, "d, the number of dimensions,")


def _as_float(value: ArrayLike) -> jax.Array:
    return jnp.asarray(value, jnp.result_type(value, float))
