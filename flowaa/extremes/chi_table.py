"""The chi law as a table: its tails, hazards and quantiles in float32.

For each d, SciPy's float64 inverses give ln(r/√d) at 8192 knots of the signed score
s = ±√(−2 ln p), where p is the probability of the smaller tail (s > 0 is the upper one), down to
p = e^−780. JAX interpolates in float32. Measured against quadrature up to d = 3072, from p = ½ to
1e-12: the error of r is at most 9e-6 deviations, and that of ln p 8e-7 of its value. At larger d
float32's own spacing of r is coarser than that.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

_KNOTS = 4096  # in each tail
_FURTHEST = 39.5  # the largest |s|


def log_density(r: jax.Array, d: int) -> jax.Array:
    """Log density at radii r [...] of a float type, in nats per unit of r; −inf below 0."""
    inside = jnp.clip(r, 0, jnp.finfo(r.dtype).max)
    excess = _relative_excess(inside, d)
    # With e = r/√d − 1, ln f(r) = constant + (d − 1) ln(1 + e) − d (e + e²/2). Near √d its terms
    # cancel, so ln(1 + e) = 2 artanh s with s = e/(2 + e), less its first term, is summed there.
    near = jnp.abs(excess) < 0.5
    e = jnp.where(near, excess, 0)
    s = e / (2 + e)
    series = sum(s ** (2 * k) / (2 * k + 3) for k in range(8))
    bulk = -jnp.log1p(e) - d * (e**2 / 2 + s * (e - 2 * s**2 * series))
    power = (d - 1) * jnp.log(jnp.where(near, 1, inside / math.sqrt(d))) if d > 1 else 0
    return jnp.where(r < 0, -jnp.inf, _log_constant(d) + jnp.where(
        near, bulk, power - d * (excess + excess**2 / 2)))


@functools.lru_cache(maxsize=256)
def _table(d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scores s, ln(r/√d) there, and ln of density over smaller tail [2 · _KNOTS], float64."""
    a = d / 2
    # Closest at the median, where ln r bends most in s.
    median = math.sqrt(-2 * math.log(0.5))
    t = median + (_FURTHEST - median) * np.linspace(0, 1, _KNOTS) ** 2
    known = np.exp(-t**2 / 2) > 1e-300
    p = np.exp(-t[known] ** 2 / 2)

    def beyond_floats(g: np.ndarray) -> np.ndarray:
        """Goes on where p < 1e-300, by a polynomial: relative error of r − √d below 2e-6."""
        fit = np.polynomial.Polynomial.fit(t[known][-600:], g[-600:], 7)
        return np.concatenate([g, fit(t[~known])])

    upper = beyond_floats(0.5 * np.log(special.gammainccinv(a, p) / a))
    # Where x = r²/2 is tiny, P(R ≤ r) = x^a/Γ(a + 1); SciPy's x may underflow there.
    tiny = (special.gammaln(a + 1) - t**2 / 2) / (2 * a) - 0.5 * math.log(a)
    x = np.maximum(special.gammaincinv(a, p), 1e-300)
    lower = np.where(tiny < -14, tiny, beyond_floats(0.5 * np.log(x / a)))
    if d > 10**6:  # SciPy's lower tail is off by 1e-3 there; ln(r/√d) is a series in z/√d
        z = -special.ndtri_exp(-t**2 / 2)
        lower = np.polynomial.Polynomial.fit(z, upper, 8)(-z)
    lower[0] = upper[0]  # both are the median; rounding must not put them in the wrong order
    levels = np.concatenate([lower[::-1], upper])
    log_f = _log_constant(d) + (d - 1) * levels - d / 2 * np.expm1(2 * levels)
    return np.concatenate([-t[::-1], t]), levels, log_f + np.append(t[::-1], t) ** 2 / 2


class Tails(NamedTuple):
    """Both tails at radii r [...]."""

    log_cdf: jax.Array  # ln P(R ≤ r)
    log_survival: jax.Array  # ln P(R > r)
    reversed_hazard: jax.Array  # f(r) / P(R ≤ r), the slope of log_cdf
    hazard: jax.Array  # f(r) / P(R > r), the slope of −log_survival


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def tails(r: jax.Array, d: int) -> Tails:
    """Both tails at radii r [...]."""
    scores, levels, log_hazards = (jnp.asarray(values, r.dtype) for values in _table(d))
    limits = jnp.finfo(r.dtype)
    inside = jnp.clip(r, limits.tiny, limits.max)
    excess = _relative_excess(inside, d)
    near = excess > -0.5
    level = jnp.log1p(jnp.where(near, excess, 0))
    level = jnp.where(near, level, jnp.log(inside / math.sqrt(d)))
    score = jnp.interp(level, levels, scores)
    upper = score > 0
    # Beyond the table the hazard h is iterated twice from h' = h (h − s), s = r − (d − 1)/r, and
    # the tail is f(r)/h. Here S = |r s| and U = r² s'.
    far = jnp.clip(r, limits.tiny**0.5, 1e15)
    S, U = jnp.maximum(jnp.abs(d - 1 - far**2), limits.tiny), far**2 + (d - 1)
    bend = jnp.where(upper, 2, -2) * (d - 1) / S
    leading = (S + (U - bend - (U / S) ** 2) / (S + U / S)) / far
    outside = (level < levels[0]) | (level > levels[-1])
    log_hazard = jnp.where(outside, jnp.log(leading), jnp.interp(score, scores, log_hazards))
    log_prob = log_density(r, d)
    log_tail = jnp.where(outside, log_prob - log_hazard, -score**2 / 2)
    log_tail = jnp.where(r <= 0, -jnp.inf, log_tail)
    log_other = jax.nn.log1mexp(-log_tail)
    hazard, other_hazard = jnp.exp(log_hazard), jnp.exp(log_prob - log_other)
    return Tails(jnp.where(upper, log_other, log_tail), jnp.where(upper, log_tail, log_other),
                  jnp.where(upper, other_hazard, hazard), jnp.where(upper, hazard, other_hazard))


@tails.defjvp
def _tails_jvp(
    d: int, primals: tuple[jax.Array], tangents: tuple[jax.Array],
) -> tuple[Tails, Tails]:
    (r,), (r_dot,) = primals, tangents
    value = tails(r, d)
    slope = (d - 1) / r - r  # of the log density
    rates = Tails(value.reversed_hazard, -value.hazard,
                   value.reversed_hazard * (slope - value.reversed_hazard),
                   value.hazard * (slope + value.hazard))
    return value, Tails(*(rate * r_dot for rate in rates))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def quantile(log_tail: jax.Array, upper: jax.Array, d: int) -> jax.Array:
    """The radius whose upper (or else lower) tail has the logarithm `log_tail` [...], ≤ ln ½."""
    scores, levels, _ = (jnp.asarray(values, log_tail.dtype) for values in _table(d))
    size = jnp.sqrt(-2 * log_tail)
    level = jnp.interp(jnp.where(upper, size, -size), scores, levels)
    r = jnp.where(size <= _FURTHEST, math.sqrt(d) * jnp.exp(level), jnp.nan)
    return jnp.where(jnp.isneginf(log_tail), jnp.where(upper, jnp.inf, 0), r)


@quantile.defjvp
def _quantile_jvp(
    d: int, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    (log_tail, upper), (log_tail_dot, _) = primals, tangents
    r = quantile(log_tail, upper, d)
    at = tails(r, d)
    return r, log_tail_dot / jnp.where(upper, -at.hazard, at.reversed_hazard)


def _log_constant(d: int) -> float:
    """The log density at r = √d."""
    return float((1 - d / 2) * math.log(2) - special.gammaln(d / 2)
                 + (d - 1) / 2 * math.log(d) - d / 2)


def _relative_excess(r: jax.Array, d: int) -> jax.Array:
    """r/√d − 1, as exact as r: what the float type cannot hold of √d is subtracted on its own.

    The division stands between the two subtractions because XLA merges neighbouring constants.
    """
    root = math.sqrt(d)
    high = float(np.asarray(root, r.dtype))
    return (r - high) / root - (root - high) / root
