"""Archetypal analysis X ≈ A B X (Cutler & Breiman 1994; thesis 2.11–2.14) in one compiled loop.

A fit is a tournament of starts. All are followed for a few rounds, on the coreset if there is one;
the better ones for some more, and the best of those on all rows; the winner is followed to
convergence; and a last round finds A and the certificate. All share one loop body, and so one
compilation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from flowaa.archetypes.classical import hull as hulls
from flowaa.archetypes.classical.alternation import Run, Stage, alternate, assign_block
from flowaa.archetypes.classical.blocks import Blocks
from flowaa.archetypes.classical.compilation import quick_jit
from flowaa.archetypes.classical.hull import Hull

# Of each level of the tournament: one of how many starts takes part, for how many rounds each, and
# whether on all rows where there is a coreset.
_LEVELS = ((1, 4, False), (3, 8, False), (5, 4, True))
_EXPLORE_TOL = 1e-3


class Fit(NamedTuple):
    """A fitted model, in the units of its blocks."""

    archetypes: Array  # [K, D]
    mixture: Array  # [N, K, B] A
    hull: Hull  # B
    loss: Array  # [] weighted sum of the rows' losses
    rss: Array  # [] weighted residual sum of squares
    gap: Array  # [] by how much, at most, a better A or a better B alone would lower ½ the loss
    n_rounds: Array  # [] of the winner, to convergence
    converged: Array  # [] bool


class Tournament(NamedTuple):
    """The state of R starts."""

    hulls: Hull  # of each start
    loss: Array  # [R]
    level: Array  # [R] int32, of which the start is through
    run: Run  # the latest
    n_rounds: Array
    converged: Array


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
        max_rounds: [] for the winner.
        solver: a key of `alternation.SOLVERS`.
        loss: one of `robust.LOSSES`.
        coreset: whether block 0 stands for the others while starts are compared.
    """
    n_blocks, (_, size, n_features) = blocks.n_blocks, blocks.copied.shape
    n_starts, n_archetypes = starts.shape
    dtype = blocks.copied.dtype
    infinite = jnp.array(jnp.inf, dtype)
    zeros = jnp.zeros((n_archetypes, n_features), dtype)
    levels, rounds, on_all = _schedule(n_starts, coreset)
    ids = jnp.arange(n_starts)
    winner = len(levels) - 2  # the stage in which the winner is followed; one more is the last

    def follow(number: Array, state: Tournament) -> Tournament:
        level, last = jnp.asarray(levels)[number], number > winner
        exploring = number < winner
        # The best of those that are through the level before.
        which = jnp.where(state.level == level - 1, state.loss, jnp.inf).argmin()
        hull = jax.tree.map(lambda all_: all_[which], state.hulls)
        archetypes = hulls.mix_rows(hull.weight, blocks.rows(hull.place))
        run = state.run._replace(
            hull=hull, archetypes=archetypes, ahead=archetypes, momentum=jnp.ones((), dtype),
            loss=infinite, cutoff=jnp.where(last, state.run.cutoff, infinite),
            rounds=jnp.int32(0), converged=jnp.array(False))

        def put(values: Array, value: Array) -> Array:
            # Not `.at[which].set`: XLA:CPU makes a loop of a scatter, which takes long to compile.
            return jnp.where((ids == which).reshape(-1, *(1,) * value.ndim), value, values)

        stage = Stage(
            low=jnp.asarray(on_all)[number].astype(jnp.int32) if coreset else 0,
            high=jnp.where(jnp.asarray(on_all)[number], n_blocks, 1) if coreset else n_blocks,
            tol=jnp.where(exploring, _EXPLORE_TOL, tol), last=last)
        limit = jnp.where(number == winner, max_rounds, jnp.asarray(rounds)[number])
        run = lax.while_loop(
            lambda run: (run.rounds < limit) & ~run.converged,
            lambda run: alternate(blocks, run, stage, solver=solver, loss=loss), run)
        return Tournament(
            hulls=Hull(put(state.hulls.place, run.hull.place),
                       put(state.hulls.weight, run.hull.weight)),
            loss=put(state.loss, run.loss), level=put(state.level, level),
            run=run, n_rounds=jnp.where(last, state.n_rounds, run.rounds),
            converged=jnp.where(last, state.converged, run.converged))

    hull = hulls.at_rows(starts, dtype, n_features=n_features)
    run = Run(
        mixture=jnp.zeros((n_blocks, n_archetypes, size), dtype),
        hull=jax.tree.map(lambda all_: all_[0], hull), archetypes=zeros, ahead=zeros,
        momentum=infinite, loss=infinite, rss=infinite, gap=infinite, cutoff=infinite,
        rounds=jnp.int32(0), converged=jnp.array(False))
    # A finite loss, as the best of none would be a start that does not take part.
    unknown = jnp.full(n_starts, jnp.finfo(dtype).max, dtype)
    state = Tournament(hull, unknown, jnp.zeros(n_starts, jnp.int32), run, jnp.int32(0),
                       jnp.array(False))
    state = lax.fori_loop(0, len(levels), follow, state)
    run = state.run
    return Fit(run.archetypes, run.mixture, run.hull, run.loss, run.rss, run.gap, state.n_rounds,
               state.converged)


def _schedule(n_starts: int, coreset: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level, rounds and whether on all rows, of each stage."""
    stages: list[tuple[int, int, bool]] = []
    level = 0
    if n_starts > 1 or coreset:
        for one_of, n_rounds, on_all in _LEVELS:
            level += 1
            stages += [(level, n_rounds, on_all)] * -(-n_starts // one_of)
    stages += [(level + 1, 0, True), (level + 2, 1, True)]
    level_of, rounds, everywhere = zip(*stages, strict=True)
    return np.array(level_of, np.int32), np.array(rounds, np.int32), np.array(everywhere)


@quick_jit(static_argnames=("solver",))
def assign(
    x: Array, archetypes: Array, max_steps: Array, *, solver: str
) -> tuple[Array, Array]:
    """The weights [N, K, B] of archetypes [K, D] in rows [N, B, D]; squared residuals [N, B]."""
    unused = jnp.zeros((len(archetypes), x.shape[1]), x.dtype)
    tolerance = jnp.zeros((), x.dtype)

    def one(x: Array) -> tuple[Array, Array]:
        return assign_block(x, archetypes, unused, False, tolerance, max_steps, solver=solver)[:2]

    return lax.map(one, x)
