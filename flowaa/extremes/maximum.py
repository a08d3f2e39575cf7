"""Once-in-n outliers: draws as extreme as the most extreme of n (thesis 3.1.1).

The largest of n draws of a law F has the law Fⁿ, and its survival function can be drawn directly:
with E exponential, the maximum's place in the tail is 1 − exp(−E/n). That is exact for every n from
1 (an ordinary draw) to 1e300, and costs one quantile whatever n is.
"""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes import checks, chi, gumbel, normal
from flowaa.extremes.placement import place, uniform_directions
from flowaa.extremes.uniform import uniform_open


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
        UserError: if a value is outside its range or the law is unknown.
    """
    n = checks.require_count(n, "n, the number of draws,")
    d = checks.require_count(d, "d, the number of dimensions,")
    if law == "exact":
        return _furthest(key, _log_extremeness(extremeness), mean, scale, n, d)
    if law == "gumbel":
        checks.require_positive(extremeness, "extremeness, the return period,", least=2)
        limit = gumbel.gumbel_of_radius(d, extremeness)
        return _furthest_by_limit(key, limit.loc, limit.scale, mean, scale, n, d)
    raise UserError(f"law {law!r}: the radius is drawn by the 'exact' or the 'gumbel' law")


def sample_axis(
    key: jax.Array,
    n: int,
    d: int,
    *,
    extremeness: ArrayLike,
    axis: int | None = None,
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> jax.Array:
    """Normal draws with one coordinate as large in size as the largest of `extremeness`.

    Args:
        key: a random key.
        n: draws.
        d: dimensions.
        extremeness: return period in draws of that coordinate, at least 1; a number or [n].
        axis: the coordinate, 0 … d − 1; None draws one for every row.
        mean: centre of each row's class, [n, d], [d] or a number.
        scale: deviations of each row's class, likewise.

    Returns:
        z [n, d] in the default float type; either sign is as likely.

    Raises:
        UserError: if a value is outside its range.
    """
    n = checks.require_count(n, "n, the number of draws,")
    d = checks.require_count(d, "d, the number of dimensions,")
    if axis is not None and checks.require_count(axis, "axis", least=0) >= d:
        raise UserError(f"axis is {axis}; with {d} dimensions it must be 0 to {d - 1}")
    return _along_axis(key, _log_extremeness(extremeness), mean, scale, n, d, axis)


def sample_direction(
    key: jax.Array,
    n: int,
    directions: jax.Array,
    *,
    extremeness: ArrayLike,
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> jax.Array:
    """Normal draws that lie, along a given direction, as far out as the furthest of `extremeness`.

    The directions may be those of archetypes: every draw takes one of them at random. Across its
    direction it stays an ordinary draw.

    Args:
        key: a random key.
        n: draws.
        directions: [m, d] in standardised coordinates, of any length but zero.
        extremeness: return period in draws of the coordinate along the direction, at least 1; a
            number or [n].
        mean: centre of each row's class, [n, d], [d] or a number.
        scale: deviations of each row's class, likewise.

    Returns:
        z [n, d] in the default float type.

    Raises:
        UserError: if a value is outside its range or a direction is zero.
    """
    n = checks.require_count(n, "n, the number of draws,")
    directions = jnp.asarray(directions, jnp.result_type(float))
    if directions.ndim != 2:
        raise UserError(f"directions have the shape {directions.shape}; they must be [m, d]")
    lengths = jnp.linalg.norm(directions, axis=1, keepdims=True)
    checks.require_positive(lengths, "the length of a direction")
    return _along(key, _log_extremeness(extremeness), directions / lengths, mean, scale, n)


def maximum_log_survival(key: jax.Array, log_n: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Where in the tail the largest of n draws of any continuous law lies.

    Args:
        key: a random key.
        log_n: ln of the number of draws, broadcastable to `shape`.
        shape: shape of the result.

    Returns:
        ln P(X > maximum) of that shape: feed it to the law's inverse survival function.
    """
    exponential = -jnp.log1p(-uniform_open(key, shape))
    log_mean_excess = jnp.log(exponential) - jnp.broadcast_to(log_n, shape)
    # 1 − exp(−E/n) is E/n to the last digit where E/n is small, also where it underflows.
    return jnp.where(log_mean_excess < -20, log_mean_excess,
                     jnp.log(-jnp.expm1(-jnp.exp(jnp.maximum(log_mean_excess, -20)))))


@functools.partial(jax.jit, static_argnames=("n", "d"))
def _furthest(
    key: jax.Array, log_extremeness: jax.Array, mean: ArrayLike, scale: ArrayLike, n: int, d: int,
) -> jax.Array:
    direction_key, radius_key = jax.random.split(key)
    log_survival = maximum_log_survival(radius_key, log_extremeness, (n,))
    radius = chi.chi_quantile_from_log_survival(log_survival, d)
    return place(radius[:, None] * uniform_directions(direction_key, n, d), mean, scale)


@functools.partial(jax.jit, static_argnames=("n", "d"))
def _furthest_by_limit(
    key: jax.Array, limit_location: jax.Array, limit_scale: jax.Array, mean: ArrayLike,
    scale: ArrayLike, n: int, d: int,
) -> jax.Array:
    direction_key, radius_key = jax.random.split(key)
    reduced = -jnp.log(-jnp.log1p(-uniform_open(radius_key, (n,))))  # fine in the upper tail
    radius = (jnp.broadcast_to(limit_location, (n,))
              + jnp.broadcast_to(limit_scale, (n,)) * reduced)
    # The limit law has mass below zero where d and n are small; no radius lies there.
    radius = jnp.maximum(radius, 0)
    return place(radius[:, None] * uniform_directions(direction_key, n, d), mean, scale)


@functools.partial(jax.jit, static_argnames=("n", "d", "axis"))
def _along_axis(
    key: jax.Array, log_extremeness: jax.Array, mean: ArrayLike, scale: ArrayLike, n: int, d: int,
    axis: int | None,
) -> jax.Array:
    bulk_key, axis_key, sign_key, size_key = jax.random.split(key, 4)
    bulk = jax.random.normal(bulk_key, (n, d))
    axes = jax.random.randint(axis_key, (n,), 0, d) if axis is None else jnp.full((n,), axis)
    log_survival = maximum_log_survival(size_key, log_extremeness, (n,))
    size = chi.chi_quantile_from_log_survival(log_survival, 1)  # |normal| is chi_1 distributed
    value = size * jax.random.rademacher(sign_key, (n,), size.dtype)
    return place(bulk.at[jnp.arange(n), axes].set(value), mean, scale)


@functools.partial(jax.jit, static_argnames=("n",))
def _along(
    key: jax.Array, log_extremeness: jax.Array, units: jax.Array, mean: ArrayLike, scale: ArrayLike,
    n: int,
) -> jax.Array:
    bulk_key, choice_key, size_key = jax.random.split(key, 3)
    bulk = jax.random.normal(bulk_key, (n, units.shape[1]))
    chosen = units[jax.random.randint(choice_key, (n,), 0, units.shape[0])]
    log_survival = maximum_log_survival(size_key, log_extremeness, (n,))
    value = normal.normal_quantile_from_log_survival(log_survival)
    missing = value - jnp.sum(bulk * chosen, axis=1)
    return place(bulk + missing[:, None] * chosen, mean, scale)


def _log_extremeness(extremeness: ArrayLike) -> jax.Array:
    checks.require_positive(extremeness, "extremeness, the return period,", least=1)
    return jnp.asarray(checks.log_of(extremeness), jnp.result_type(float))
