"""Both tails of the chi law in logarithms, with their hazards: the numerical core of `chi`.

The natural coordinate is not the length r but the half deviance

    ½z² = (d/2) (λ − 1 − ln λ),   λ = r²/d,

in which density and tails are those of a normal law times factors close to one, so that no large
numbers cancel. With a = d/2, x = r²/2 and T = x^a e^(−x) / Γ(a):

- density: f(r) = 2T/r;
- tails near the bulk, for a ≥ 16: Temme's uniform expansion (`temme`);
- upper tail elsewhere: Q = (T/x) q with q the (finite) sum 1 + (a−1)/x + (a−1)(a−2)/x² + …, closed
  for odd d by the normal tail (DLMF 8.8.2);
- lower tail elsewhere: P = (T/a) p with p the sum 1 + x/(a+1) + x²/((a+1)(a+2)) + … (DLMF 8.7.1).

All sums have positive terms only. Each tail is computed where it is the smaller one; the other is
one minus it.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.extremes import mills, temme

_NEAR = 0.5  # of |r/√d − 1|: where the deviance needs its series
_FURTHEST = 1e15  # radius beyond which the sums are 1, and r² would overflow


class Tails(NamedTuple):
    """The two tails at radii r [...]."""

    log_cdf: jax.Array  # ln P(R ≤ r)
    log_survival: jax.Array  # ln P(R > r)
    reversed_hazard: jax.Array  # f(r) / P(R ≤ r), the slope of log_cdf
    hazard: jax.Array  # f(r) / P(R > r), the slope of −log_survival


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def tails(r: jax.Array, d: int) -> Tails:
    """Both tails of chi_d at radii r [...].

    Args:
        r: [...] radii of a float type; what is negative counts as 0.
        d: degrees of freedom, a Python integer.

    Returns:
        Tails of relative error about 1e-6 in float32, and finite gradients of every order.
    """
    a = d / 2
    r = jnp.clip(r, 0, jnp.finfo(r.dtype).max)  # an infinite r has an infinite deviance, not NaN
    excess = relative_excess(r, d)
    half_square = half_deviance(r, d)
    upper = excess >= 0
    # Where a sum is not used its argument is held at the bulk, so that it stays finite.
    above, below = jnp.clip(r, math.sqrt(d), _FURTHEST), jnp.minimum(r, math.sqrt(d))
    upper_sum, lower_sum = _upper_sum(above, d), _lower_sum(below, d)
    log_t = 0.5 * math.log(a) - mills.HALF_LOG_TWO_PI - half_square - temme.log_scaled_gamma(a)
    log_tail = log_t + jnp.where(upper, jnp.log(upper_sum / above**2) + math.log(2),
                                 jnp.log(lower_sum) - math.log(a))
    hazard = jnp.where(upper, above / upper_sum, d / (below * lower_sum))
    if a >= temme.SMALLEST_A:
        z = jnp.sqrt(2 * half_square)
        eta = z / math.sqrt(a)
        side = jnp.where(upper, 1, -1).astype(r.dtype)
        correction = _polynomial(side * jnp.minimum(eta, 1), temme.correction_coefficients(a))
        ratio = mills.mills_ratio(z) + side * correction / math.sqrt(a)  # of the tail to φ(z)
        density_ratio = math.sqrt(2) * math.exp(-temme.log_scaled_gamma(a)) / (1 + excess)
        near = eta < 1
        log_tail = jnp.where(near, jnp.log(ratio) - half_square - mills.HALF_LOG_TWO_PI, log_tail)
        hazard = jnp.where(near, density_ratio / ratio, hazard)
    log_other = jax.nn.log1mexp(-log_tail)
    other_hazard = jnp.where(jnp.isneginf(log_tail), 0, hazard * jnp.exp(log_tail - log_other))
    return Tails(jnp.where(upper, log_other, log_tail), jnp.where(upper, log_tail, log_other),
                 jnp.where(upper, other_hazard, hazard), jnp.where(upper, hazard, other_hazard))


@tails.defjvp
def _tails_jvp(
    d: int, primals: tuple[jax.Array], tangents: tuple[jax.Array],
) -> tuple[Tails, Tails]:
    (r,), (r_dot,) = primals, tangents
    value = tails(r, d)
    slope = log_density_slope(r, d)
    rates = Tails(value.reversed_hazard, -value.hazard,
                  value.reversed_hazard * (slope - value.reversed_hazard),
                  value.hazard * (slope + value.hazard))
    return value, Tails(*(rate * r_dot for rate in rates))


def log_density_slope(r: jax.Array, d: int) -> jax.Array:
    """Slope of the log density, (d − 1)/r − r, without the cancellation near √d."""
    if d == 1:
        return -r
    excess = relative_excess(r, d)
    return -(d * excess * (2 + excess) + 1) / r


def relative_excess(r: jax.Array, d: int) -> jax.Array:
    """r/√d − 1, as exact as r: what the float type can't hold of √d is subtracted on its own.

    The division stands between the two subtractions because XLA merges neighbouring constants.
    """
    root = math.sqrt(d)
    high = float(np.asarray(root, r.dtype))
    return (r - high) / root - (root - high) / root


def half_deviance(r: jax.Array, d: int) -> jax.Array:
    """(d/2) (λ − 1 − ln λ) for λ = r²/d and r ≥ 0, to a few units in the last place."""
    excess = relative_excess(r, d)
    near = jnp.abs(excess) < _NEAR
    series = _near_half_deviance(jnp.where(near, excess, 0), d)
    plain = d * (excess + excess**2 / 2 - jnp.log(jnp.where(near, 1, r / math.sqrt(d))))
    return jnp.where(near, series, plain)


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
    n_terms = _terms(0.43, r.dtype)
    if a - n_terms > 1:  # only used at x > 2.35a, where what lies below is negligible
        order, q = a - n_terms, jnp.ones_like(x)
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
    while term > _negligible(r.dtype):
        count += 1
        term *= largest * a / (a + count)
    p = jnp.ones_like(x)
    for k in range(count, 0, -1):
        p = 1 + x * p / (a + k)
    return p


def _polynomial(x: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
    """Σ c_k x^k at |x| ≤ 1, leaving out what the float type can't show."""
    least = _negligible(x.dtype)
    n_needed = max(k for k, c in enumerate(coefficients) if abs(c) > least) + 1
    value = jnp.zeros_like(x)
    for coefficient in reversed(coefficients[:n_needed]):
        value = value * x + coefficient
    return value


def _terms(ratio: float, dtype: jnp.dtype) -> int:
    """Terms after which a geometric series of this ratio is exact in this float type."""
    return math.ceil(math.log(_negligible(dtype)) / math.log(ratio))


def _negligible(dtype: jnp.dtype) -> float:
    return float(jnp.finfo(dtype).eps) / 10
