"""Several small flows at once, each trained on all rows but its fold and judged on the fold.

The flows are one batched program (`jax.vmap`), so that five cost little more to compile than one.
Each keeps the parameters with the best log-likelihood on its fold, and training ends when none has
become better for a while.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flowaa.bijectors.base import Params, bound
from flowaa.bijectors.chain import Chain

Array = jax.Array

_STEPS_PER_CALL = 50
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
    settings: FoldTraining, seed: int, is_time_up: Callable[[], bool],
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
        is_time_up: asked after each call of some steps; if so, training ends.
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
    best = (jax.tree.map(jnp.copy, params), _scores(chain, params, *judged))
    best_steps, waited = np.zeros(len(train), int), np.zeros(len(train), int)
    for call in range(settings.steps // _STEPS_PER_CALL):
        state, best, is_better = _advance(
            chain, settings, state, best, jax.random.fold_in(steps_key, call), rows, judged)
        better = np.asarray(is_better)
        best_steps[better] = (call + 1) * _STEPS_PER_CALL
        waited = np.where(better, 0, waited + 1)
        show((call + 1) * _STEPS_PER_CALL, float(best[1].mean()))
        if (waited >= _PATIENCE).all() or is_time_up():
            break
    return Trained([jax.tree.map(lambda leaf, i=i: leaf[i], best[0]) for i in range(len(train))],
                   best_steps)


def _optimizer(settings: FoldTraining) -> optax.GradientTransformation:
    schedule = optax.cosine_decay_schedule(settings.learning_rate, settings.steps)
    return optax.chain(
        optax.clip_by_global_norm(_CLIP_NORM),
        optax.adamw(schedule, b2=0.99, weight_decay=settings.weight_decay,
                    mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)))


@functools.partial(jax.jit, static_argnums=0)
def _start(chain: Chain, keys: Array, u: Array, context: Array | None) -> Params:
    return jax.vmap(lambda *given: chain.init(*given)["params"])(keys, u, context)


def _log_prob(
    chain: Chain, params: Params, u: Array, context: Array | None, dropout_key: Array | None = None,
) -> Array:
    z, log_det = bound(chain, params, dropout_key=dropout_key).encode(u, context)
    return log_det - 0.5 * (z ** 2 + np.log(2 * np.pi)).sum(1)


@functools.partial(jax.jit, static_argnums=0)
def _scores(
    chain: Chain, params: Params, u: Array, context: Array | None, counts: Array
) -> Array:
    """Mean log-likelihood [F] of each flow's fold."""
    log_prob = jax.vmap(functools.partial(_log_prob, chain))(params, u, context)
    return (jnp.where(counts > 0, log_prob, 0.0) * counts).sum(1) / counts.sum(1)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def _advance(
    chain: Chain, settings: FoldTraining, state: tuple, best: tuple, key: Array, rows: tuple,
    judged: tuple,
) -> tuple[tuple, tuple, Array]:
    """Some steps; then each flow's best parameters and score so far, and whether they are new."""
    state = _steps(chain, settings, state, key, *rows)
    score = _scores(chain, state[2], *judged)
    is_better = score > best[1]
    return state, (_choose(is_better, state[2], best[0]), jnp.where(is_better, score, best[1])), (
        is_better)


def _steps(
    chain: Chain, settings: FoldTraining, state: tuple, key: Array, train: Array,
    context: Array | None,
) -> tuple:
    """Some steps of every flow: parameters, optimiser's state and averaged parameters."""
    optimizer = _optimizer(settings)

    def step(state: tuple, key: Array, rows: Array, given: Array | None) -> tuple:
        params, optimizer_state, average = state
        rows_key, noise_key, dropout_key = jax.random.split(key, 3)
        index = jax.random.randint(rows_key, (settings.batch_size,), 0, len(rows))
        u = rows[index]
        u = u + settings.noise * jax.random.normal(noise_key, u.shape)
        cond = None if given is None else given[index]
        gradient = jax.grad(
            lambda params: -_log_prob(chain, params, u, cond, dropout_key).mean())(params)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, params)
        params = optax.apply_updates(params, updates)
        average = optax.incremental_update(params, average, 1 - _EMA_DECAY)
        return params, optimizer_state, average

    def of_one_fold(state: tuple, key: Array, rows: Array, given: Array | None) -> tuple:
        keys = jax.random.split(key, _STEPS_PER_CALL)
        return jax.lax.scan(
            lambda state, key: (step(state, key, rows, given), None), state, keys)[0]

    return jax.vmap(of_one_fold)(state, jax.random.split(key, len(train)), train, context)


def _choose(is_first: Array, first: Params, second: Params) -> Params:
    """Of each fold the first's parameters where `is_first` [F], else the second's."""
    return jax.tree.map(
        lambda a, b: jnp.where(is_first.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), first, second)
