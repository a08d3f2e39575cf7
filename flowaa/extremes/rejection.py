"""Redrawing outliers that fall back among the inliers, by the model's own density."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from flowaa.errors import UserError
from flowaa.extremes import checks


@functools.partial(jax.tree_util.register_dataclass,
                   data_fields=["z", "log_density", "accepted"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Rejection:
    """Draws, and whether each is as improbable as was asked."""

    z: jax.Array  # [n, ...]
    log_density: jax.Array  # [n] nats
    accepted: jax.Array  # [n] bool; False where all tries fell among the inliers


def reject_inliers(
    key: jax.Array,
    sampler: Callable[[jax.Array], jax.Array],
    log_density: Callable[[jax.Array], jax.Array],
    inlier_log_density: jax.Array,
    *,
    quantile: float,
    max_tries: int = 10,
) -> Rejection:
    """Draws outliers whose density is below that of nearly all inliers.

    Rows that are too probable are drawn again, all others kept, for a bounded number of tries; a
    row that never succeeds keeps its least probable try and says so. Can be compiled: the loop ends
    on the device as soon as all rows are accepted.

    Args:
        key: a random key.
        sampler: draws outliers from a key: z [n, ...], always of the same shape.
        log_density: the model's log density of such draws, [n, ...] → [n] in nats.
        inlier_log_density: [m] the model's log density of inliers, e.g. of a validation split.
        quantile: draws must be less probable than this share of the inliers is: 0.01 accepts what
            would be among the 1 % most improbable inliers or beyond.
        max_tries: draws a row at most.

    Returns:
        The draws; accepted rows follow the sampler's law given that they are improbable.

    Raises:
        UserError: if the quantile is not between 0 and 1 or `max_tries` < 1.
    """
    checks.require_inside(quantile, "quantile", 0, 1)
    max_tries = checks.require_count(max_tries, "max_tries")
    if jnp.size(inlier_log_density) == 0:
        raise UserError("inlier_log_density is empty; give the log densities of some inliers")
    threshold = jnp.quantile(inlier_log_density, quantile)

    def draw(step: jax.Array | int) -> tuple[jax.Array, jax.Array]:
        z = sampler(jax.random.fold_in(key, step))
        return z, log_density(z)

    def unfinished(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        step, _, kept_density = state
        return (step < max_tries) & jnp.any(kept_density >= threshold)

    def redraw(
        state: tuple[jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        step, kept, kept_density = state
        z, density = draw(step)
        replace = (kept_density >= threshold) & (density < kept_density)
        rows = replace.reshape(replace.shape + (1,) * (z.ndim - 1))
        return step + 1, jnp.where(rows, z, kept), jnp.where(replace, density, kept_density)

    _, z, density = jax.lax.while_loop(unfinished, redraw, (jnp.asarray(1), *draw(0)))
    return Rejection(z, density, density < threshold)
