"""Several small flows at once, each trained on all rows but its fold and judged on the fold.

The flows are one batched program (`jax.vmap`), so that five cost little more to compile than one.
Each keeps the parameters with the best log-likelihood on its fold, and training ends when none has
become better for a while.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flowaa.bijectors.base import Params, bound
from flowaa.bijectors.chain import Chain
from flowaa.errors import warn
from flowaa.training.faults.skipping import skip_unsound

Array = jax.Array

_STEPS_PER_CALL = 50
_TIMED_CALLS = 2  # after compilation, from which is told how many steps there is time for
_SHORT = 0.5  # of the steps left, for which there is time: less, and the schedule is shortened
_PATIENCE = 4  # calls without a better fold before training ends
_EMA_DECAY = 0.98
_CLIP_NORM = 5.0


@dataclasses.dataclass(frozen=True)
class FoldTraining:
    """How flows are trained; `noise` is in standard deviations of what the chain is given."""

    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    batch_size: int = 128
    steps: int = 1500
    noise: float = 0.1


@dataclasses.dataclass(frozen=True)
class Trained:
    """Parameters of F flows.

    Attributes:
        params: of each flow.
        steps: [F] after which each was best; 0 is the untrained start.
    """

    params: list[Params]
    steps: np.ndarray


def train_folds(
    chain: Chain, train: np.ndarray, validation: np.ndarray, counts: np.ndarray, *,
    train_context: np.ndarray | None, validation_context: np.ndarray | None,
    settings: FoldTraining, seed: int, seconds_left: Callable[[], float],
    show: Callable[[int, float], None],
) -> Trained:
    """Trains one flow a fold.

    Args:
        chain: the flow's bijector.
        train: [F, M, D] float32 rows to draw batches from.
        validation: [F, V, D] float32 rows of the folds.
        counts: [F, V] how much each of them counts; 0 where rows only fill up.
        train_context: [F, M, E] or None.
        validation_context: [F, V, E] or None.
        settings: how.
        seed: of starts, batches and noise.
        seconds_left: asked after each call of some steps. Where the time is too short for all steps
            the learning rate falls to zero over those there is time for.
        show: told the steps taken and the mean log-likelihood in validation.
    """
    start_key, steps_key = jax.random.split(jax.random.key(seed))
    first = jnp.asarray(train[:, :256])
    first_context = None if train_context is None else jnp.asarray(train_context[:, :256])
    params = _start(chain, jax.random.split(start_key, len(train)), first, first_context)
    optimizer = _optimizer(settings)
    state = (params, jax.vmap(optimizer.init)(params), jax.tree.map(jnp.copy, params))
    rows = (jnp.asarray(train), train_context)
    judged = (jnp.asarray(validation), validation_context, jnp.asarray(counts, jnp.float32))
    best = (jax.tree.map(jnp.copy, params), jnp.full(len(train), -jnp.inf, jnp.float32))
    best_steps, waited = np.zeros(len(train), int), np.zeros(len(train), int)
    n_calls, call, left_s = settings.steps // _STEPS_PER_CALL, 0, [seconds_left()]
    while call <= n_calls:
        # The first call takes no step: it judges the start by the program that is there anyway.
        steps = (_STEPS_PER_CALL if call else 0, max(call - 1, 0) * _STEPS_PER_CALL,
                 n_calls * _STEPS_PER_CALL)
        state, best, is_better = _advance(
            chain, settings, state, best, jax.random.fold_in(steps_key, call), rows, judged, steps)
        better = np.asarray(is_better)
        best_steps[better] = call * _STEPS_PER_CALL
        waited = np.where(better, 0, waited + 1)
        show(call * _STEPS_PER_CALL, float(best[1].mean()))
        left_s.append(seconds_left())
        if (waited >= _PATIENCE).all() or left_s[-1] <= 0:
            break
        if call == _TIMED_CALLS:
            affordable = _affordable_calls(left_s)
            # A busy machine alone is to change no fit: what is short by less is cut if need be.
            if affordable < _SHORT * (n_calls - call):
                n_calls = call + affordable
        call += 1
    if n_skipped := int(state[1].total_notfinite.sum()):
        warn(f"{n_skipped} training steps of {len(train)} flow(s) were skipped, since their "
             "gradients are not finite: look for rows that lie far too far out")
    return Trained([jax.tree.map(lambda leaf, i=i: leaf[i], best[0]) for i in range(len(train))],
                   best_steps)


def _affordable_calls(left_s: list[float]) -> int:
    """How many further calls there is time for, by the last two's duration.

    It is rounded down to a power of the eighth root of two, so that the same fit on the same
    machine mostly has the same schedule.
    """
    per_call_s = max((left_s[-3] - left_s[-1]) / 2, 1e-3)
    return int(2 ** (math.floor(8 * math.log2(max(left_s[-1] / per_call_s, 1.0))) / 8))


def _optimizer(settings: FoldTraining) -> optax.GradientTransformation:
    """Its updates are for a learning rate of one, and 0 where the gradient is not finite."""
    return skip_unsound(optax.chain(
        optax.clip_by_global_norm(_CLIP_NORM),
        optax.adamw(1.0, b2=0.99, weight_decay=settings.weight_decay,
                    mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params))), 0.0)


@functools.partial(jax.jit, static_argnums=0)
def _start(chain: Chain, keys: Array, u: Array, context: Array | None) -> Params:
    return _each(lambda *given: chain.init(*given)["params"])(keys, u, context)


def _log_prob(
    chain: Chain, params: Params, u: Array, context: Array | None, dropout_key: Array | None = None,
) -> Array:
    z, log_det = bound(chain, params, dropout_key=dropout_key).encode(u, context)
    return log_det - 0.5 * (z ** 2 + np.log(2 * np.pi)).sum(1)


def _scores(
    chain: Chain, params: Params, u: Array, context: Array | None, counts: Array
) -> Array:
    """Mean log-likelihood [F] of each flow's fold."""
    log_prob = _each(functools.partial(_log_prob, chain))(params, u, context)
    return (jnp.where(counts > 0, log_prob, 0.0) * counts).sum(1) / counts.sum(1)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def _advance(
    chain: Chain, settings: FoldTraining, state: tuple, best: tuple, key: Array, rows: tuple,
    judged: tuple, steps: tuple,
) -> tuple[tuple, tuple, Array]:
    """Some steps; then each flow's best parameters and score so far, and whether they are new."""
    state = _steps(chain, settings, state, key, steps, *rows)
    score = _scores(chain, state[2], *judged)
    is_better = score > best[1]
    return state, (_choose(is_better, state[2], best[0]), jnp.where(is_better, score, best[1])), (
        is_better)


def _steps(
    chain: Chain, settings: FoldTraining, state: tuple, key: Array, steps: tuple, train: Array,
    context: Array | None,
) -> tuple:
    """So many steps of every flow: parameters, optimiser's state and averaged parameters.

    Of `steps` the first is how many there are now, the second how many there were, and the third
    how many there will be, over which the learning rate falls to zero.
    """
    n_steps, first_step, last_step = steps
    optimizer = _optimizer(settings)

    def step(
        count: Array, state: tuple, key: Array, rows: Array, given: Array | None
    ) -> tuple:
        params, optimizer_state, average = state
        rows_key, noise_key, dropout_key = jax.random.split(key, 3)
        index = jax.random.randint(rows_key, (settings.batch_size,), 0, len(rows))
        u = rows[index]
        u = u + settings.noise * jax.random.normal(noise_key, u.shape)
        cond = None if given is None else given[index]
        gradient = jax.grad(
            lambda params: -_log_prob(chain, params, u, cond, dropout_key).mean())(params)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, params)
        share = jnp.clip((first_step + count) / last_step, 0.0, 1.0)
        rate = settings.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * share))
        params = optax.apply_updates(params, jax.tree.map(lambda update: rate * update, updates))
        average = optax.incremental_update(params, average, 1 - _EMA_DECAY)
        return params, optimizer_state, average

    def of_one_fold(state: tuple, key: Array, rows: Array, given: Array | None) -> tuple:
        keys = jax.random.split(key, _STEPS_PER_CALL)
        return jax.lax.fori_loop(
            0, n_steps, lambda count, state: step(count, state, keys[count], rows, given), state)

    return _each(of_one_fold)(state, jax.random.split(key, len(train)), train, context)


def _each(function: Callable) -> Callable:
    """The function of each fold. XLA's code for an axis of one is half as fast as without it."""

    def apply(*of_folds: Any) -> Any:
        if len(jax.tree.leaves(of_folds)[0]) > 1:
            return jax.vmap(function)(*of_folds)
        of_one = jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), of_folds)
        return jax.tree.map(lambda leaf: leaf[None], function(*of_one))

    return apply


def _choose(is_first: Array, first: Params, second: Params) -> Params:
    """Of each fold the first's parameters where `is_first` [F], else the second's."""
    return jax.tree.map(
        lambda a, b: jnp.where(is_first.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), first, second)
