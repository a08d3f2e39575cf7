"""Draws from a spherical shell around a normal law (thesis 3.1.2).

Almost all draws of a d-dimensional normal law lie in a thin shell of radius √d. Outliers are drawn
from shells further out: uniform in direction, at a radius that is stated in one of four ways.
"""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.arguments import random_key
from flowaa.errors import UserError
from flowaa.extremes import checks, chi
from flowaa.extremes.chi import log_period
from flowaa.extremes.sampling import place, uniform_directions, uniform_open


def sample_shell(
    key: jax.Array,
    n: int,
    d: int,
    *,
    radius: ArrayLike | None = None,
    quantile: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    extremeness: ArrayLike | None = None,
    tail: bool = False,
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> jax.Array:
    """Draws uniform in direction, at a stated distance from the centre.

    Exactly one of `radius`, `quantile`, `sigma` and `extremeness` says how far out:

    - radius: at that radius;
    - quantile: at the radius below which that share of normal draws lies;
    - extremeness: at the radius that one normal draw in so many exceeds (its return period), which
      is the quantile 1 − 1/extremeness; 1 is the centre, which every draw exceeds;
    - sigma: normal with that deviation, of radius σ·chi_d (thesis eq. 3.3): not one radius, but in
      high dimensions nearly so.

    Args:
        key: a random key.
        n: draws.
        d: dimensions.
        radius: above 0; a number or one a row, [n], as are the next three.
        quantile: strictly between 0 and 1.
        sigma: above 0; 1 gives inliers.
        extremeness: return period in draws, at least 1.
        tail: False draws on the thin shell at that radius; True draws what lies beyond it, as
            normal draws do that are known to be further out (with `extremeness`: a typical
            once-in-n draw; at 1, an ordinary draw).
        mean: centre of each row's class, [n, d], [d] or a number.
        scale: deviations of each row's class, likewise; radii are then Mahalanobis distances.

    Returns:
        z [n, d] in the default float type.

    Raises:
        UserError: if not exactly one way is given, a value is outside its range, or memory cannot
            hold so many draws.
    """
    key = random_key(key)
    n, d = checks.require_draws(n, d)
    mean, scale = checks.gaussian(mean, scale, n, d)
    if not isinstance(tail, bool):
        raise UserError(f"tail is {checks.shown(tail)}; it must be True or False")
    way = checks.require_one_of(radius=radius, quantile=quantile, sigma=sigma,
                                extremeness=extremeness)
    if way == "sigma":
        checks.require_positive(sigma, "sigma", shapes=checks.rows(n))
        if tail:
            raise UserError("sigma has no tail to draw from; give radius, quantile or extremeness")
        return _normal(key, _as_float(sigma), mean, scale, n, d)
    if way == "radius":
        checks.require_positive(radius, "radius", shapes=checks.rows(n))
        if not tail:
            return _at_radius(key, _as_float(radius), mean, scale, n, d)
        log_survival = chi.chi_log_survival(_as_float(radius), d)
    elif way == "quantile":
        checks.require_inside(quantile, "quantile", 0, 1, shapes=checks.rows(n))
        log_survival = checks.log_complement(quantile)
    else:
        log_survival = -log_period(extremeness, "extremeness, the return period,",
                                   shapes=checks.rows(n))
    return _at_tail(key, _as_float(log_survival), mean, scale, n, d, tail)


@functools.partial(jax.jit, static_argnames=("n", "d"))
def _normal(
    key: jax.Array, sigma: jax.Array, mean: ArrayLike, scale: ArrayLike, n: int, d: int,
) -> jax.Array:
    return place(_a_row(sigma, n) * jax.random.normal(key, (n, d)), mean, scale)


@functools.partial(jax.jit, static_argnames=("n", "d"))
def _at_radius(
    key: jax.Array, radius: jax.Array, mean: ArrayLike, scale: ArrayLike, n: int, d: int,
) -> jax.Array:
    return place(_a_row(radius, n) * uniform_directions(key, n, d), mean, scale)


@functools.partial(jax.jit, static_argnames=("n", "d", "tail"))
def _at_tail(
    key: jax.Array, log_survival: jax.Array, mean: ArrayLike, scale: ArrayLike, n: int, d: int,
    tail: bool,
) -> jax.Array:
    direction_key, radius_key = jax.random.split(key)
    if tail:  # beyond a level the survival function is uniform between 0 and its value there
        beyond = jnp.log(uniform_open(radius_key, (n,)))
        log_survival = jnp.broadcast_to(log_survival, (n,)) + beyond
    radius = chi.chi_quantile_from_log_survival(log_survival, d)
    return place(_a_row(radius, n) * uniform_directions(direction_key, n, d), mean, scale)


def _a_row(value: jax.Array, n: int) -> jax.Array:
    """A number or [n], as [n, 1]."""
    return jnp.broadcast_to(value, (n,))[:, None]


def _as_float(value: ArrayLike | None) -> jax.Array:
    return jnp.asarray(value, jnp.result_type(float))
