"""The archetypes themselves: given the weights A, min ½‖X − A Z‖² over Z in the hull of the rows.

The objective depends on X only through `gram` = AᵀA [K, K] and `cross` = AᵀX [K, D], so
archetype j needs no more than the rows of its own face of the hull. It keeps S candidate rows:
those in use, and the best of each bucket of rows by the gradient. The weights over the data are
thus stored as K × S, whatever the number of rows, and the best row overall, always among the
candidates, gives the duality gap over all rows.

A solver takes (weight, rows, gram, cross, tolerance, max_steps) and improves `weight`:

    weight     [K, S]     on the simplex, of the candidate rows
    rows       [K, S, D]  the candidate rows
    tolerance  []         stop when the sum of the archetypes' duality gaps is below
    max_steps  []         stop after as many steps
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from flowaa.archetypes.classical.projection import project_onto_simplex

BUCKETS = 64  # fresh candidates for each archetype
_MAX_KEPT = 512  # rows in use that an archetype carries over; optima seen use up to about ninety


class Hull(NamedTuple):
    """Archetypes as mixtures of a few rows."""

    place: Array  # [K, S] int32 of the rows, counted over all blocks
    weight: Array  # [K, S] on the simplex


class BucketBest(NamedTuple):
    """The row of each bucket with the smallest inner product with a direction."""

    value: Array  # [K, BUCKETS]
    place: Array  # [K, BUCKETS] int32


def at_rows(place: Array, dtype: jnp.dtype, *, n_features: int) -> Hull:
    """Archetypes that are the rows at `place` [..., K].

    A point of a hull in D dimensions is a mixture of D + 1 rows or fewer (Carathéodory).
    """
    kept = -(-min(n_features, _MAX_KEPT) // BUCKETS) * BUCKETS
    place = jnp.repeat(place[..., None], kept + BUCKETS, axis=-1)
    return Hull(place, jnp.zeros(place.shape, dtype).at[..., 0].set(1.0))


def mix_rows(weight: Array, rows: Array) -> Array:
    """Mixtures [K, D] of rows [K, S, D] with weights [K, S]."""
    return (weight[:, :, None] * rows).sum(1)


def bucket_best(best: BucketBest, direction: Array, x: Array, eligible: Array, offset: Array | int
                ) -> BucketBest:
    """Updates the best rows by one block of data.

    Args:
        best: of the blocks before.
        direction: [K, D] gradients with respect to the archetypes.
        x: [B, D] rows; B is a multiple of BUCKETS.
        eligible: [B] whether a row may be part of an archetype.
        offset: [] place of the block's first row.
    """
    slope = jnp.where(eligible, direction @ x.T, jnp.inf).reshape(len(direction), -1, BUCKETS)
    value, where = slope.min(1), slope.argmin(1).astype(jnp.int32)
    place = offset + where * BUCKETS + jnp.arange(BUCKETS, dtype=jnp.int32)
    better = value < best.value
    return BucketBest(jnp.where(better, value, best.value), jnp.where(better, place, best.place))


def refresh(hull: Hull, fresh: Array) -> Hull:
    """Keeps the heaviest rows in use and takes `fresh` [K, BUCKETS] as new candidates."""
    weight, kept = lax.top_k(hull.weight, hull.weight.shape[1] - BUCKETS)
    place = jnp.take_along_axis(hull.place, kept, axis=1)
    weight = weight / weight.sum(1, keepdims=True)
    return Hull(jnp.concatenate([place, fresh], axis=1),
                jnp.concatenate([weight, jnp.zeros(fresh.shape, weight.dtype)], axis=1))


def pairwise_frank_wolfe(
    weight: Array, rows: Array, gram: Array, cross: Array, tolerance: Array, max_steps: Array
) -> Array:
    """Moves weight, in every archetype at once, from the worst row in use to the best one.

    Pairwise Frank–Wolfe (Lacoste-Julien & Jaggi 2015). Each archetype's own step minimises the
    bound gram ⪯ diag(gram 1), which couples no archetypes; it holds because `gram` ≥ 0.
    """
    tiny = jnp.finfo(gram.dtype).tiny
    slots = jnp.arange(weight.shape[1])
    usage = gram.sum(1)

    def advance(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        weight, archetypes, steps, _ = state
        pull = gram @ archetypes - cross
        slope = mix_features(rows, pull)
        best = slots == slope.argmin(1)[:, None]
        worst = slots == jnp.where(weight > 0, slope, -jnp.inf).argmax(1)[:, None]
        move = best.astype(weight.dtype) - worst
        direction = mix_rows(move, rows)
        available = jnp.where(worst, weight, 0.0).sum(1)
        descent = -(pull * direction).sum(1)  # at least the duality gap
        step = descent / jnp.maximum(usage * (direction**2).sum(1), tiny)
        step = jnp.minimum(step, available)[:, None]
        return (jnp.maximum(weight + step * move, 0.0), archetypes + step * direction, steps + 1,
                descent.sum())

    def unfinished(state: tuple[Array, Array, Array, Array]) -> Array:
        return (state[2] < max_steps) & (state[3] > tolerance)

    infinite = jnp.array(jnp.inf, gram.dtype)
    return lax.while_loop(
        unfinished, advance, (weight, mix_rows(weight, rows), jnp.int32(0), infinite))[0]


def mix_features(rows: Array, direction: Array) -> Array:
    """Inner products [K, S] of rows [K, S, D] with directions [K, D]."""
    return (rows * direction[:, None]).sum(2)


def spectral_gradient(
    weight: Array, rows: Array, gram: Array, cross: Array, tolerance: Array, max_steps: Array
) -> Array:
    """Projected gradient with Barzilai–Borwein step lengths (Birgin, Martínez & Raydan 2000).

    Each archetype has its own length and takes only steps that lower the objective under the
    same bound as above; a step refused is tried again, shorter. No Lipschitz constant is
    needed, which over hundreds of rows would be far too cautious.
    """
    tiny = jnp.finfo(gram.dtype).tiny
    usage = gram.sum(1)
    spread = ((rows - rows.mean(1, keepdims=True)) ** 2).sum((1, 2))
    first = 10.0 / jnp.maximum(usage * spread, tiny)

    def advance(
        state: tuple[Array, Array, Array, Array, Array]
    ) -> tuple[Array, Array, Array, Array, Array]:
        weight, archetypes, length, steps, _ = state
        slope = mix_features(rows, gram @ archetypes - cross)
        slope = slope - slope.min(1, keepdims=True)
        change = project_onto_simplex(weight - length[:, None] * slope, axis=1) - weight
        direction = mix_rows(change, rows)
        curvature = usage * (direction**2).sum(1)
        accepted = ((slope * change).sum(1) + 0.5 * curvature <= 0.0)[:, None]
        spectral = (change**2).sum(1) / jnp.maximum(curvature, tiny)
        length = jnp.where(accepted[:, 0] & (curvature > 0), spectral, 0.25 * length)
        return (jnp.where(accepted, weight + change, weight),
                jnp.where(accepted, archetypes + direction, archetypes), length, steps + 1,
                (weight * slope).sum())

    def unfinished(state: tuple[Array, Array, Array, Array, Array]) -> Array:
        return (state[3] < max_steps) & (state[4] > tolerance)

    infinite = jnp.array(jnp.inf, gram.dtype)
    return lax.while_loop(unfinished, advance,
                          (weight, mix_rows(weight, rows), first, jnp.int32(0), infinite))[0]
