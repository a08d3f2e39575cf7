"""The chi law: the length of a standard normal vector in d dimensions (thesis eq. 3.1–3.4).

Accurate in float32 for any d from 1 to 1e7, far into both tails. The natural coordinate is not the
length r but the half deviance

    ½z² = (d/2) (λ − 1 − ln λ),   λ = r²/d,

in which density and tails are those of a normal law times factors close to one, so that no large
numbers cancel. With a = d/2, x = r²/2 and T = x^a e^(−x) / Γ(a):

- density: f(r) = 2T/r;
- tails, near the bulk (|λ − 1| moderate) and a ≥ 16: Temme's uniform expansion;
- upper tail elsewhere: Q = (T/x) q with q the (finite) sum 1 + (a−1)/x + (a−1)(a−2)/x² + …, closed
  for odd d by the normal tail (DLMF 8.8.2);
- lower tail elsewhere: P = (T/a) (1 + x/(a+1) + x²/((a+1)(a+2)) + …) (DLMF 8.7.1).

All sums have positive terms only. Each tail is computed where it is small; the other one is one
minus it. A float32 probability can't be close to one, so ask for the survival function (or its
logarithm) in the upper tail, and for the cdf in the lower.

`d` is a Python integer (it fixes the constants of the compiled program); the rest may be traced.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from flowaa.extremes import checks, mills, temme

_LOG_HALF = math.log(0.5)
_HALF_LOG_PI = 0.5 * math.log(math.pi)
_NEWTON_STEPS = 8


@functools.partial(jax.jit, static_argnums=1)
def chi_log_prob(r: ArrayLike, d: int) -> jax.Array:
    """Log density in nats per unit of r; −inf at negative r.

    Args:
        r: [...] radii.
        d: degrees of freedom.
    """
    d = _dimension(d)
    r = _as_float(r)
    inside = jnp.maximum(r, 0)
    excess = _relative_excess(inside, d)
    near = jnp.abs(excess) < 0.5
    constant = -_HALF_LOG_PI - temme.log_scaled_gamma(d / 2)
    # Near √d the powers of r cancel against exp(−r²/2): use the deviance. Far from it use the plain
    # form, which stays finite at r = 0.
    bulk = -jnp.log1p(jnp.where(near, excess, 0)) - _near_half_deviance(
        jnp.where(near, excess, 0), d)
    plain = -d * (excess + excess**2 / 2)
    if d > 1:
        plain += (d - 1) * jnp.log(jnp.where(near, 1, inside / math.sqrt(d)))
    return jnp.where(r < 0, -jnp.inf, constant + jnp.where(near, bulk, plain))


@functools.partial(jax.jit, static_argnums=1)
def chi_log_cdf(r: ArrayLike, d: int) -> jax.Array:
    """Logarithm of P(R ≤ r), for radii r [...]; accurate in the lower tail."""
    d = _dimension(d)
    return _log_tails(_as_float(r), d)[0]


@functools.partial(jax.jit, static_argnums=1)
def chi_log_survival(r: ArrayLike, d: int) -> jax.Array:
    """Logarithm of P(R > r), for radii r [...]; accurate in the upper tail."""
    d = _dimension(d)
    return _log_tails(_as_float(r), d)[1]


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
def _log_tails(r: jax.Array, d: int) -> tuple[jax.Array, jax.Array]:
    """(ln P(R ≤ r), ln P(R > r)) for r [...]."""
    a = d / 2
    r = jnp.clip(r, 0, jnp.finfo(r.dtype).max)  # an infinite r has an infinite deviance, not NaN
    half_deviance = _half_deviance(r, d)
    upper = _relative_excess(r, d) >= 0
    # Where the sums are not used their argument is held at the bulk, so that they stay finite.
    log_t = 0.5 * math.log(a) - mills.HALF_LOG_TWO_PI - half_deviance - temme.log_scaled_gamma(a)
    above = jnp.clip(r, math.sqrt(d), 1e15)
    below = jnp.minimum(r, math.sqrt(d))
    by_sums = log_t + jnp.where(
        upper, jnp.log(_upper_sum(above, d)) - 2 * jnp.log(above) + math.log(2),
        jnp.log(_lower_sum(below, d)) - math.log(a))
    tail = by_sums
    if a >= temme.SMALLEST_A:
        side = jnp.where(upper, 1, -1).astype(r.dtype)
        z = jnp.sqrt(2 * half_deviance)
        eta = z / math.sqrt(a)
        correction = _polynomial(side * jnp.minimum(eta, 1), temme.correction_coefficients(a))
        by_temme = (jnp.log(mills.mills_ratio(z) + side * correction / math.sqrt(a))
                    - half_deviance - mills.HALF_LOG_TWO_PI)
        tail = jnp.where(eta < 1, by_temme, by_sums)
    other = jax.nn.log1mexp(-tail)
    return jnp.where(upper, other, tail), jnp.where(upper, tail, other)


@_log_tails.defjvp
def _log_tails_jvp(
    d: int, primals: tuple[jax.Array], tangents: tuple[jax.Array],
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    (r,), (r_dot,) = primals, tangents
    log_cdf, log_survival = _log_tails(r, d)
    log_density = chi_log_prob(r, d)
    hazards = jnp.exp(log_density - log_cdf), -jnp.exp(log_density - log_survival)
    return (log_cdf, log_survival), (hazards[0] * r_dot, hazards[1] * r_dot)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _solve(log_tail: jax.Array, upper: jax.Array, d: int) -> jax.Array:
    """The radius whose upper (or else lower) tail has the logarithm `log_tail` [...], ≤ ln ½.

    Both tails' logarithms are concave in ln r, so Newton steps in ln r converge from any start.
    """
    limits = jnp.finfo(log_tail.dtype)
    smallest = float(limits.tiny)
    finite = jnp.clip(log_tail, float(limits.min) / 4, -smallest)
    r = jnp.maximum(_rough_quantile(finite, upper, d), smallest)

    def newton_step(_: jax.Array, r: jax.Array) -> jax.Array:
        log_cdf, log_survival = _log_tails(r, d)
        reached = jnp.where(upper, log_survival, log_cdf)
        slope = jnp.where(upper, -1, 1) * jnp.exp(jnp.log(r) + chi_log_prob(r, d) - reached)
        return jnp.maximum(r * jnp.exp((finite - reached) / slope), smallest)

    r = jax.lax.fori_loop(0, _NEWTON_STEPS, newton_step, r)
    r = jnp.where(r > smallest, r, 0)  # below what the float type can hold
    r = jnp.where(log_tail == -jnp.inf, jnp.where(upper, jnp.inf, 0), r)
    return jnp.where(log_tail <= 0, r, jnp.nan)


@_solve.defjvp
def _solve_jvp(
    d: int, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    (log_tail, upper), (log_tail_dot, _) = primals, tangents
    r = _solve(log_tail, upper, d)
    derivative = jnp.where(upper, -1, 1) * jnp.exp(log_tail - chi_log_prob(r, d))
    return r, derivative * log_tail_dot


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


def _relative_excess(r: jax.Array, d: int) -> jax.Array:
    """r/√d − 1, as exact as r: what the float type can't hold of √d is subtracted on its own.

    The division stands between the two subtractions because XLA merges neighbouring constants.
    """
    root = math.sqrt(d)
    high = float(np.asarray(root, r.dtype))
    return (r - high) / root - (root - high) / root


def _half_deviance(r: jax.Array, d: int) -> jax.Array:
    """(d/2) (λ − 1 − ln λ) for λ = r²/d and r ≥ 0, to a few units in the last place."""
    excess = _relative_excess(r, d)
    near = jnp.abs(excess) < 0.5
    far = d * (excess + excess**2 / 2 - jnp.log(r / math.sqrt(d)))
    return jnp.where(near, _near_half_deviance(jnp.where(near, excess, 0), d), far)


def _near_half_deviance(excess: jax.Array, d: int) -> jax.Array:
    """The half deviance at |u| ≤ ½, u = r/√d − 1, where u + u²/2 − ln(1 + u) cancels to u².

    With s = u/(2 + u), ln(1 + u) = 2 artanh s; its first term is taken out by hand.
    """
    s = excess / (2 + excess)
    series = jnp.zeros_like(s)
    for k in range(_terms(1 / 9, s.dtype), 0, -1):
        series = series * s**2 + 1 / (2 * k + 1)
    log_remainder = s * (excess - 2 * s**2 * series)  # u − ln(1 + u)
    return d * (excess**2 / 2 + log_remainder)


def _upper_sum(r: jax.Array, d: int) -> jax.Array:
    """The sum q = x Q(a, x)/T at x = r²/2 ≥ a.

    By q(b + 1) = 1 + b q(b)/x from a small order b upwards.
    """
    x = r**2 / 2
    a = d / 2
    terms = _terms(0.43, r.dtype)
    if a - terms > 1:  # only used at x > 2.35a, where what lies below is negligible
        order, q = a - terms, jnp.ones_like(x)
    elif d % 2:
        order, q = 0.5, r * mills.mills_ratio(r)
    else:
        order, q = 1.0, jnp.ones_like(x)
    while order < a:
        q = 1 + order * q / x
        order += 1
    return q


def _lower_sum(r: jax.Array, d: int) -> jax.Array:
    """The sum p = a P(a, x)/T at x = r²/2 ≤ a.

    By p(b) = 1 + x p(b + 1)/(b + 1) from a large order b downwards.
    """
    x = r**2 / 2
    a = d / 2
    largest = 1.0 if a < temme.SMALLEST_A else 0.31  # of x/a where this sum is used
    count, term = 0, 1.0
    while term > jnp.finfo(r.dtype).eps / 10:
        count += 1
        term *= largest * a / (a + count)
    p = jnp.ones_like(x)
    for k in range(count, 0, -1):
        p = 1 + x * p / (a + k)
    return p


def _polynomial(x: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
    """Σ c_k x^k at |x| ≤ 1, leaving out what the float type can't show."""
    least = jnp.finfo(x.dtype).eps / 10
    needed = max(k for k, c in enumerate(coefficients) if abs(c) > least) + 1
    value = jnp.zeros_like(x)
    for coefficient in reversed(coefficients[:needed]):
        value = value * x + coefficient
    return value


def _terms(ratio: float, dtype: jnp.dtype) -> int:
    """Terms after which a geometric series of this ratio is exact in this float type."""
    return math.ceil(math.log(float(jnp.finfo(dtype).eps) / 10) / math.log(ratio))


def _dimension(d: int) -> int:
    return checks.require_count(d, "d, the number of dimensions,")


def _as_float(value: ArrayLike) -> jax.Array:
    return jnp.asarray(value, jnp.result_type(value, float))
