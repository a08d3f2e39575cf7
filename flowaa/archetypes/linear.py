"""Archetypal analysis X ≈ A B X (Cutler & Breiman 1994; thesis 2.11–2.14) in one compiled loop.

A fit is a series of stages. Each start is followed for a few rounds, on the coreset if there is
one; the best is followed to convergence on all rows; a last round finds A and the certificate.
The stages share one loop body, and so one compilation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from flowaa.archetypes import hull as hulls
from flowaa.archetypes.alternation import (
    Blocks,
    Run,
    Stage,
    alternate,
    assign_block,
)
from flowaa.archetypes.compilation import quick_jit
from flowaa.archetypes.hull import Hull

_EXPLORE_TOL = 1e-3
_EXPLORE_ROUNDS = 6


class Fit(NamedTuple):
    """A fitted model, in the units of its blocks."""

    archetypes: Array  # [K, D]
    mixture: Array  # [N, K, B] A
    hull: Hull  # B
    loss: Array  # [] weighted sum of the rows' losses
    rss: Array  # [] weighted residual sum of squares
    gap: Array  # [] by how much, at most, a better A or a better B alone would lower ½ the loss
    n_rounds: Array  # [] of the best start
    converged: Array  # [] bool


@quick_jit(static_argnames=("solver", "loss", "coreset"))
def fit(
    blocks: Blocks, starts: Array, tol: Array, max_rounds: Array, *, solver: str, loss: str,
    coreset: bool,
) -> Fit:
    """Fits archetypes; pure, so that it can itself be mapped over starts, tolerances or weights.

    Args:
        blocks: the rows.
        starts: [R, K] int32 places of rows, counted over all blocks, where archetypes start.
        tol: [] relative decrease of the loss, in a round without momentum, that ends the fit.
        max_rounds: [] for the best start.
        solver: a key of `alternation.SOLVERS`.
        loss: one of `robust.LOSSES`.
        coreset: whether block 0 stands for the others while starts are compared.
    """
    n_blocks, size, n_features = blocks.x.shape
    n_starts, n_archetypes = starts.shape
    dtype = blocks.x.dtype
    x = blocks.x.reshape(-1, n_features)
    infinite = jnp.array(jnp.inf, dtype)
    polishing = n_starts if n_starts > 1 or coreset else 0  # the stage after the starts' own

    def follow(number: Array, best: Run) -> Run:
        exploring, last = number < polishing, number > polishing
        fresh = exploring | (number == 0)
        start = hulls.at_rows(starts[jnp.minimum(number, n_starts - 1)], dtype)
        hull = jax.tree.map(lambda new, old: jnp.where(fresh, new, old), start, best.hull)
        archetypes = hulls.mix_rows(hull.weight, x[hull.index])
        run = best._replace(
            hull=hull, archetypes=archetypes, ahead=archetypes, momentum=jnp.ones((), dtype), loss=infinite,
            cutoff=jnp.where(last, best.cutoff, infinite), rounds=jnp.int32(0),
            converged=jnp.array(False))
        stage = Stage(
            low=jnp.where(exploring, 0, 1) if coreset else 0,
            high=jnp.where(exploring, 1, n_blocks) if coreset else n_blocks,
            tol=jnp.where(exploring, _EXPLORE_TOL, tol), last=last)
        limit = jnp.where(last, 1, jnp.where(exploring, _EXPLORE_ROUNDS, max_rounds))
        run = lax.while_loop(
            lambda run: (run.rounds < limit) & ~run.converged,
            lambda run: alternate(blocks, run, stage, solver=solver, loss=loss), run)
        better = ~exploring | (run.loss < best.loss)
        hull, value = jax.tree.map(lambda new, old: jnp.where(better, new, old),
                                   (run.hull, run.loss), (best.hull, best.loss))
        return run._replace(hull=hull, loss=value, rounds=jnp.where(last, best.rounds, run.rounds),
                            converged=jnp.where(last, best.converged, run.converged))

    run = Run(
        mixture=jnp.zeros((n_blocks, n_archetypes, size), dtype),
        hull=hulls.at_rows(starts[0], dtype), archetypes=jnp.zeros((n_archetypes, n_features), dtype),
        ahead=jnp.zeros((n_archetypes, n_features), dtype), momentum=infinite, loss=infinite,
        rss=infinite, gap=infinite, cutoff=infinite, rounds=jnp.int32(0),
        converged=jnp.array(False))
    run = lax.fori_loop(0, polishing + 2, follow, run)
    return Fit(run.archetypes, run.mixture, run.hull, run.loss, run.rss, run.gap, run.rounds,
               run.converged)


@quick_jit(static_argnames=("solver",))
def assign(
    x: Array, archetypes: Array, max_steps: Array, *, solver: str
) -> tuple[Array, Array]:
    """The weights [N, K, B] of archetypes [K, D] in rows [N, B, D], and squared residuals [N, B]."""
    unused = jnp.zeros((len(archetypes), x.shape[1]), x.dtype)
    tolerance = jnp.zeros((), x.dtype)

    def one(x: Array) -> tuple[Array, Array]:
        return assign_block(x, archetypes, unused, False, tolerance, max_steps, solver=solver)[:2]

    return lax.map(one, x)
