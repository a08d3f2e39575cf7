"""Weights beyond the simplex: mixtures that leave the archetypes' hull (thesis 3.2).

How far out weights a [K] with Σ a = 1 lie is measured by the simplex's own gauge about its centre,
1 − K·min_i a_i: 0 at the centre, 1 on the boundary and above 1 outside. A point of gauge e is e
times as far from the centre as the boundary is in its direction.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from flowaa.arguments import random_key
from flowaa.errors import UserError, warn
from flowaa.extremes import checks
from flowaa.extremes.chi import log_period
from flowaa.extremes.sampling import place


def sample_exterior(
    key: jax.Array,
    n: int,
    k: int,
    gauge: ArrayLike | None = None,
    *,
    concentration: ArrayLike = 1.0,
    extremeness: ArrayLike | None = None,
) -> jax.Array:
    """Weights that sum to one and lie outside the simplex at a stated gauge.

    A Dirichlet draw gives the direction from the simplex's centre; along it the draw goes to the
    boundary and then `gauge` times as far. With the same key the same directions are taken, so that
    a draw's distance from the simplex grows with the gauge.

    Args:
        key: a random key.
        n: draws.
        k: archetypes, at least 2.
        gauge: of the draws: 1 is the boundary, larger is outside, smaller inside; a number above 0,
            or one a row, [n]. `gauge_return_level` gives it for a return period.
        concentration: of the Dirichlet law: small (0.1) puts draws beyond the corners, 1 spreads
            them, large (100) puts them beyond the facets, in all directions from the centre. A
            number, one for each archetype [k], or [n, k] (a class's own archetypes larger).
        extremeness: the former name of `gauge`.

    Returns:
        A [n, k] in the default float type. Up to a gauge of 1e6 every row sums to one exactly, in
        whatever order it is summed. Its smallest weight is (1 − gauge)/k, within rounding and on
        the right side of 0.

    Raises:
        UserError: if gauge or concentration is not finite and above 0, or k < 2.

    >>> weights = sample_exterior(jax.random.key(0), 2, 3, gauge=1.5)
    >>> weights.sum(axis=1).tolist()
    [1.0, 1.0]
    """
    if extremeness is not None:
        checks.require_one_of(gauge=gauge, extremeness=extremeness)
        warn("sample_exterior: `extremeness` is deprecated; the same number is now called `gauge`")
        gauge = extremeness
    key = random_key(key)
    k = checks.require_count(k, "k, the number of archetypes,", least=2)
    n, k = checks.require_draws(n, k)
    checks.require_positive(gauge, "gauge", shapes=checks.rows(n))
    checks.require_positive(concentration, "concentration", shapes=((), (k,), (n, k)))
    return _sample(key, jnp.asarray(gauge, jnp.result_type(float)),
                   jnp.broadcast_to(jnp.asarray(concentration, jnp.result_type(float)), (n, k)),
                   n, k)


def gauge(weights: ArrayLike) -> jax.Array:
    """How far from the simplex's centre weights lie, in units of the boundary's distance.

    Args:
        weights: [..., K], each row summing to one.

    Returns:
        [...]: 0 at the centre, 1 on the boundary.
    """
    weights = checks.reals(weights, "weights", least_axes=1)
    return 1 - weights.shape[-1] * jnp.min(weights, axis=-1)


def distance_to_simplex(weights: ArrayLike) -> jax.Array:
    """Euclidean distance from weights to the nearest point of the simplex, max(a − τ, 0).

    τ is such that this sums to one (Held, Wolfe and Crowder 1974).

    Args:
        weights: [..., K].

    Returns:
        [...] distances; 0 inside.
    """
    weights = checks.reals(weights, "weights", least_axes=1)
    descending = -jnp.sort(-weights, axis=-1)
    counts = jnp.arange(1, weights.shape[-1] + 1).astype(weights.dtype)
    thresholds = (jnp.cumsum(descending, axis=-1) - 1) / jnp.broadcast_to(counts, weights.shape)
    # τ is the largest of these means: each is what τ would be with so many weights kept.
    threshold = jnp.max(thresholds, axis=-1, keepdims=True)
    return jnp.linalg.norm(weights - jnp.maximum(weights - threshold, 0), axis=-1)


def gauge_return_level(n: ArrayLike, means: ArrayLike, deviations: ArrayLike) -> jax.Array:
    """The gauge that one draw in n exceeds, of normal archetype coordinates.

    It is the largest of the K normal variables K·(1/K − a_i). Its chance to exceed e is at most the
    sum of theirs, Σ (1 − Φ((e − mean_i)/deviation_i)), and in the tail nearly so: by bisection.

    Args:
        n: [...] return period in draws, at least 1.
        means: [..., K] of K·(1/K − a_i).
        deviations: [..., K] above 0; (K − 1)·σ for coordinates of deviation σ about the centre of a
            regular simplex of unit radius, whose means are 0.

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


def sample_given_projection(
    key: jax.Array,
    target: ArrayLike,
    projection: ArrayLike,
    *,
    mean: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> jax.Array:
    """Draws of a normal law with independent coordinates, given linear functions of them.

    A free draw z is moved onto P z = y along the directions in which it varies:
    z + Σ Pᵀ (P Σ Pᵀ)⁻¹ (y − P z) has the conditional law exactly (Matheron's rule; Hoffman and
    Ribak 1991).

    Args:
        key: a random key.
        target: [n, L] the values y that are given.
        projection: [L, D] the linear functions P, of full rank; rows of the identity where the
            given values are coordinates themselves.
        mean: of the normal law, [n, D] (each row's class), [D] or a number.
        scale: deviations of the coordinates, likewise, above 0.

    Returns:
        z [n, D] with P z = y.

    Raises:
        UserError: if the shapes don't fit, the projection is not of full rank, or a scale is not
            above 0.
    """
    key = random_key(key)
    target, projection = checks.reals(target, "target"), checks.reals(projection, "projection")
    if target.ndim != 2 or projection.ndim != 2 or not (
            projection.shape[0] == target.shape[1] <= projection.shape[1]):
        raise UserError(f"projection has the shape {projection.shape} for a target of the shape "
                        f"{target.shape}; they must be [L, D] and [n, L], L at most D")
    n, d = checks.require_draws(len(target), projection.shape[1])
    if not isinstance(projection, jax.core.Tracer):
        checks.require_finite(projection, "projection")
        if np.linalg.matrix_rank(np.asarray(projection)) < len(projection):
            raise UserError(f"projection has a rank below its {len(projection)} rows; leave out "
                            "those that follow from others")
    return _conditional(key, target, projection, *checks.gaussian(mean, scale, n, d))


@jax.jit
def _conditional(
    key: jax.Array, target: jax.Array, projection: jax.Array, mean: jax.Array, scale: jax.Array,
) -> jax.Array:
    n = len(target)
    free = place(jax.random.normal(key, (n, projection.shape[1])), mean, scale)
    variance = jnp.broadcast_to(scale, free.shape) ** 2
    highest = jax.lax.Precision.HIGHEST  # accelerators multiply in half precision by default
    missing = target - jnp.einsum("ld,nd->nl", projection, free, precision=highest)
    gram = jnp.einsum("ld,nd,md->nlm", projection, variance, projection, precision=highest)
    weights = jnp.linalg.solve(gram, missing[:, :, None])[:, :, 0]
    return free + variance * jnp.einsum("ld,nl->nd", projection, weights, precision=highest)


@functools.partial(jax.jit, static_argnames=("n", "k"))
def _sample(
    key: jax.Array, gauge: jax.Array, concentration: jax.Array, n: int, k: int,
) -> jax.Array:
    inside = jax.random.dirichlet(key, concentration)
    offset = inside - 1 / k
    # Near the centre the rounding of 1/K is as large as the offset itself.
    offset -= jnp.mean(offset, axis=1, keepdims=True)
    depth = -k * jnp.min(offset, axis=1, keepdims=True)  # the gauge of the Dirichlet draw
    # A draw at the very centre, as a huge concentration gives, has no direction: take a corner's.
    corner = jnp.broadcast_to(jnp.eye(1, k, dtype=offset.dtype) - 1 / k, (n, k))
    to_boundary = jnp.where(depth > 0, offset / jnp.where(depth > 0, depth, 1), corner)
    gauges = jnp.broadcast_to(gauge, (n,))[:, None]
    return _round_to_sum_one(1 / k + gauges * to_boundary, gauges)


def _round_to_sum_one(weights: jax.Array, gauges: jax.Array) -> jax.Array:
    """Rounds weights [n, K] of gauges [n, 1] so that every row sums to exactly one.

    All weights become multiples of a power of two so coarse that every partial sum is exact: far
    from the simplex, at weights of 100, float32 could else not sum to one within 1e-6. Rounding
    downwards keeps negative weights negative; the largest weight takes what is left.
    """
    k = weights.shape[1]
    # Sorting puts the smallest first and the largest last. It also is a kernel of its own: else XLA
    # may compute the weights twice, for rounding and for their sum, with last digits that differ.
    places = jax.lax.broadcasted_iota(jnp.int32, weights.shape, 1)
    weights, places = jax.lax.sort((weights, places), dimension=1, num_keys=1)
    smallest = (1 - gauges) / k  # exactly, whatever was lost on the way
    weights = jnp.maximum(weights, jnp.broadcast_to(smallest, weights.shape))
    weights = weights.at[:, :1].set(smallest)
    _, exponent = jnp.frexp(1 + 2 * gauges)  # no sum of some |weights| is larger
    step = jnp.ldexp(jnp.ones_like(gauges), exponent - jnp.finfo(weights.dtype).nmant)
    rounded = jnp.floor(weights / step) * step
    rest = 1 - jnp.sum(rounded, axis=1)
    _, rounded = jax.lax.sort((places, rounded.at[:, -1].add(rest)), dimension=1, num_keys=1)
    return rounded
