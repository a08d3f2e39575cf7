"""One round of archetypal analysis: A for the archetypes as they stand, then Z for that A.

Letters: K archetypes, D features, N blocks of B rows. A is kept as [K, B] in each block.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from flowaa.archetypes.classical import hull as hulls
from flowaa.archetypes.classical import mixtures, robust
from flowaa.archetypes.classical.blocks import Blocks
from flowaa.archetypes.classical.hull import BUCKETS, BucketBest, Hull


@dataclasses.dataclass(frozen=True)
class Solver:
    """The rules that improve A and Z, and the steps each may take in one round."""

    mix: Callable[[Array, Array, Array, Array, Array], Array]
    mix_steps: int  # or as many as there are archetypes, if that is more
    shape: Callable[[Array, Array, Array, Array, Array, Array], Array]
    shape_steps: int


SOLVERS = {
    # Alternating least squares: both problems solved as exactly as their gaps are asked to be.
    "als": Solver(mixtures.accelerated_gradient, 200, hulls.pairwise_frank_wolfe, 100),
    "frank_wolfe": Solver(mixtures.pairwise_frank_wolfe, 10, hulls.pairwise_frank_wolfe, 10),
    "pcha": Solver(mixtures.accelerated_gradient, 10, hulls.spectral_gradient, 20),
}

PATIENT_AFTER = 20  # rounds; as many again, and sub-problems are solved more exactly still
LAST_MIX_STEPS = 1000  # of the round that ends a fit, and of new rows


class Totals(NamedTuple):
    """Sums over rows: all that the archetypes need to know of them."""

    gram: Array  # [K, K] A W Aᵀ
    cross: Array  # [K, D] A W X
    loss: Array  # [] weighted losses
    rss: Array  # [] weighted squared residuals
    gap: Array  # [] weighted duality gaps
    median: Array  # [] median residual norms of the blocks (robust losses only)


class Run(NamedTuple):
    """One alternation under way."""

    mixture: Array  # [N, K, B] A
    hull: Hull  # B, the archetypes as mixtures of rows
    archetypes: Array  # [K, D] Z = B X
    ahead: Array  # [K, D] Z extrapolated, where the next A is found
    momentum: Array  # []
    loss: Array  # []
    rss: Array  # []
    gap: Array  # [] duality gaps of both problems, at A and `ahead`
    cutoff: Array  # [] of a robust loss; it never grows, so that the loss never does
    rounds: Array  # []
    converged: Array  # [] bool


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stage of the fit asks of its rounds; the values may be traced."""

    low: Array | int  # the blocks low … high − 1 are fitted
    high: Array | int
    tol: Array | float  # relative decrease of the loss that counts as none
    last: Array | bool  # only find A and the gaps, as exactly as possible


def assign_block(
    x: Array, archetypes: Array, warm: Array, is_warm: Array | bool, tolerance: Array,
    max_steps: Array, *, solver: str,
) -> tuple[Array, Array, Array]:
    """Finds the weights of one block of rows.

    Args:
        x: [B, D] rows.
        archetypes: [K, D].
        warm: [K, B] weights to start from …
        is_warm: … if this is true, and otherwise from each row's nearest archetype.
        tolerance: [] duality gap at which a row stops.
        max_steps: [] steps after which all do.
        solver: a key of SOLVERS.

    Returns:
        Weights [K, B], squared residuals [B] and duality gaps [B].
    """
    # Weights that sum to one do not see a shift; without the centre the problem is better posed.
    centre = archetypes.mean(0)
    spread = archetypes - centre
    gram = spread @ spread.T
    target = spread @ x.T - (spread @ centre)[:, None]
    # Gaps below the rounding of the gradient cannot be told from zero.
    rounding = 4.0 * jnp.finfo(x.dtype).eps * gram.max()
    nearest = (0.5 * jnp.diagonal(gram)[:, None] - target).argmin(0)
    cold = (jnp.arange(len(gram))[:, None] == nearest).astype(x.dtype)
    mixture = SOLVERS[solver].mix(
        gram, target, jnp.where(is_warm, warm, cold), jnp.maximum(tolerance, rounding), max_steps)
    mixture = mixture / mixture.sum(0)
    squared = ((x - mixture.T @ archetypes) ** 2).sum(1)
    return mixture, squared, mixtures.duality_gaps(mixture, gram @ mixture - target)


def alternate(blocks: Blocks, run: Run, stage: Stage, *, solver: str, loss: str) -> Run:
    """One round: the weights A at `run.ahead`, then archetypes that are better for that A."""
    rules = SOLVERS[solver]
    # Sub-problems need not be solved better than the loss is watched. In the first round, the
    # loss is infinite, and no tolerance is known.
    goal = jnp.where(jnp.isfinite(run.loss), 0.1 * stage.tol * run.loss, 0.0)
    mixture, totals = _assign(blocks, run, stage, goal, solver=solver, loss=loss)
    pull = totals.gram @ run.ahead - totals.cross
    best = _best_rows(blocks, run.hull, pull, stage)
    gap = (pull * run.ahead).sum() - best.value.min(1).sum()

    hull = hulls.refresh(run.hull, best.place)
    rows = blocks.rows(hull.place)
    steps = jnp.where(stage.last, 0, rules.shape_steps * _patience(run))
    weight = rules.shape(hull.weight, rows, totals.gram, totals.cross, goal, steps)
    archetypes = hulls.mix_rows(weight, rows)
    # The decrease is computed as such: the difference of two sums of squares would lose it to
    # rounding long before it is negligible. For a robust loss it is a lower bound.
    change = archetypes - run.ahead
    gain = -(change * (totals.gram @ (archetypes + run.ahead) - 2.0 * totals.cross)).sum()
    value = totals.loss - gain

    # Nesterov's momentum on Z; where it stops paying, a plain round decides what happens.
    # A loss at the rounding of unit residuals is none at all.
    n_values = blocks.copied[0].size * (stage.high - stage.low)
    negligible = n_values * (8.0 * jnp.finfo(value.dtype).eps) ** 2
    stalled = run.loss - value <= stage.tol * value + negligible
    grown = jnp.where(stalled, 1.0, 0.5 + jnp.sqrt(0.25 + run.momentum**2))
    drive = jnp.where(stalled, 0.0, (run.momentum - 1.0) / grown)
    return Run(
        mixture=mixture,
        hull=Hull(hull.place, weight),
        archetypes=archetypes,
        ahead=archetypes + drive * (archetypes - run.archetypes),
        momentum=grown,
        loss=value,
        rss=totals.rss,
        gap=totals.gap + gap,
        cutoff=robust.next_cutoff(loss, run.cutoff, totals.median / (stage.high - stage.low)),
        rounds=run.rounds + 1,
        converged=stalled & (run.momentum == 1.0) & (run.rounds > 0),
    )


def _patience(run: Run) -> Array:
    """By how much more steps a round may take: a fit of many rounds is badly conditioned."""
    return 1 + run.rounds // PATIENT_AFTER


def _assign(
    blocks: Blocks, run: Run, stage: Stage, goal: Array, *, solver: str, loss: str
) -> tuple[Array, Totals]:
    """A [N, K, B] for all blocks of the stage, and the totals over their rows."""
    n_rows = blocks.weight.shape[1] * (stage.high - stage.low)
    usual_steps = max(SOLVERS[solver].mix_steps, len(run.ahead))
    steps = jnp.where(stage.last, LAST_MIX_STEPS, usual_steps * _patience(run))

    def one(i: Array | int, mixture: Array) -> tuple[Array, Totals]:
        x, weight = blocks.block(i), blocks.weight[i]
        mixture, squared, gap = assign_block(
            x, run.ahead, mixture, run.rounds > 0, goal / n_rows, steps, solver=solver)
        value, slope = robust.loss_and_slope(loss, squared, run.cutoff)
        weighted = mixture * (weight * slope)
        sums = jnp.stack([value, squared, slope * gap]) @ weight
        return mixture, Totals(
            gram=weighted @ mixture.T, cross=weighted @ x, loss=sums[0], rss=sums[1], gap=sums[2],
            median=robust.median_norm(loss, squared, weight))

    if blocks.n_blocks == 1:
        mixture, totals = one(0, run.mixture[0])
        return mixture[None], totals

    def add(i: Array, carry: tuple[Array, Totals]) -> tuple[Array, Totals]:
        mixture, part = one(i, carry[0][i])
        return carry[0].at[i].set(mixture), jax.tree.map(jnp.add, carry[1], part)

    zero = jnp.zeros((), run.ahead.dtype)
    nothing = Totals(jnp.zeros((len(run.ahead),) * 2, zero.dtype), jnp.zeros_like(run.ahead),
                     zero, zero, zero, zero)
    return lax.fori_loop(stage.low, stage.high, add, (run.mixture, nothing))


def _best_rows(blocks: Blocks, hull: Hull, pull: Array, stage: Stage) -> BucketBest:
    """The rows that the gradient `pull` [K, D] would have archetypes move to."""
    # Where a bucket has no eligible row, the archetype's heaviest row stands in.
    place = jnp.repeat(hull.place[:, :1], BUCKETS, axis=1)
    best = BucketBest(jnp.full(place.shape, jnp.inf, pull.dtype), place)
    size = blocks.weight.shape[1]

    def update(i: Array | int, best: BucketBest) -> BucketBest:
        return hulls.bucket_best(best, pull, blocks.block(i), blocks.eligible[i], i * size)

    if blocks.n_blocks == 1:
        return update(0, best)
    return lax.fori_loop(stage.low, stage.high, update, best)
