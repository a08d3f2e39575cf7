"""The training loop: calls of compiled steps, and between them metrics, checkpoints, evaluation."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from flowaa.data.batches import Batches, Labelled, open_batches, sequential_batches
from flowaa.data.dataset import Dataset, Split
from flowaa.errors import UserError
from flowaa.training import parallel
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.files.metrics_log import MetricsLog
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.guard import ReversibilityGuard
from flowaa.training.state import Params, TrainState, create_state, n_params
from flowaa.training.step import Loss, Metrics, train_step

_GIVEN_UP = "reversible/given_up"  # in the row of the step at which the guard decided so


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How long, how often and on what; the config's `training` block, typed."""

    batch_size: int
    steps: int
    steps_per_call: int
    log_every_steps: int
    evaluate_every_steps: int
    keep_checkpoints: int
    device_bytes: int
    ema_decay: float
    seed: int
    devices: tuple[jax.Device, ...]

    def __post_init__(self) -> None:
        for name in ("log_every_steps", "evaluate_every_steps", "steps"):
            value = getattr(self, name)
            if value < 1 or value % self.steps_per_call:
                raise UserError(
                    f"training.{name} is {value}; set it to a multiple of "
                    f"training.steps_per_call={self.steps_per_call}"
                )


@dataclasses.dataclass(frozen=True)
class Phase:
    """From which step on a loss is trained, and what is done to the parameters before."""

    first_step: int
    loss: Loss
    prepare: Callable[[Params], Params] | None = None  # on the host


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is trained: pure functions, free of configs and files."""

    init: Callable[[jax.Array, Any, Any], Params]  # key, x, y of a global batch
    loss: Loss
    values: Callable[..., Metrics]  # per example, for evaluation
    optimizer: optax.GradientTransformation
    n_dims: int
    guard: ReversibilityGuard | None = None
    phases: tuple[Phase, ...] = ()  # by first step, the first at 0; none = `loss` all along
    selection: str = "bits_per_dim"  # the figure on validation that chooses the best state

    def phase_at(self, step: int) -> Phase:
        """The phase that step `step` + 1 belongs to."""
        phases = self.phases or (Phase(0, self.loss),)
        return [phase for phase in phases if phase.first_step <= step][-1]


class TrainingInterrupted(Exception):
    """The user asked to stop; the state was saved at `step`."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}; the same command continues from there")


def train(
    problem: Problem,
    dataset: Dataset,
    options: TrainingOptions,
    folder: RunFolder,
    run: dict[str, Any],
    on_evaluation: Callable[[list[dict[str, Any]]], None],
) -> tuple[TrainState, dict[str, float]]:
    """Trains to the end, from the newest checkpoint where there is one.

    Args:
        problem: what is trained.
        dataset: what on; the best state is chosen on its validation split.
        options: how.
        folder: a claimed folder.
        run: what checkpoints keep beside the state, as JSON.
        on_evaluation: called with all metrics' rows after each evaluation.

    Returns:
        The state that was best on validation, on the host, and the run's final figures.

    Raises:
        TrainingInterrupted: a signal asked to stop.
        UserError: the loss is no longer finite, or the batches do not fit data or devices.
    """
    key = jax.random.key(options.seed)
    batches = open_batches(
        dataset.train, batch_size=options.batch_size, seed=options.seed,
        device_bytes=options.device_bytes, devices=options.devices,
    )
    checkpoints = Checkpoints(folder.checkpoints, keep=options.keep_checkpoints)
    create, arguments = _creation(
        problem, dataset.train, batches.order.indices(0), options, key)
    like = create.eval_shape(*arguments)
    found = checkpoints.restore_newest(like)
    step = 0 if found is None else found[0]
    log = MetricsLog(folder, step)
    evaluate = Evaluation(problem, options)

    # A run that gave reversible training up before it was interrupted does not take it up again.
    guard, phase = problem.guard, problem.phase_at(step)
    if guard is not None and any(_GIVEN_UP in row for row in log.rows):
        phase, guard = dataclasses.replace(phase, loss=guard.stored_loss), None
    call = _compile(phase.loss, problem, batches, options, like, key)
    # Made while the call is compiled.
    state = create(*arguments) if found is None else found[1]
    device_state = parallel.replicate(_enter(phase, step, state), options.devices)
    start = time.perf_counter() - log.wall_s
    pending: list[Metrics] = []
    with (
        contextlib.closing(batches),
        _progress(step, options.steps) as bar,
        _stop_signals() as stop,
    ):
        while step < options.steps:
            if guard is not None and guard.is_due(step):
                x, y = _rows(dataset.train, batches.order.indices(step))
                trusted, scalars = guard.check(parallel.unreplicate(device_state.params), x, y, key)
                if not trusted:
                    scalars[_GIVEN_UP] = 1.0
                    call = _compile(guard.stored_loss, problem, batches, options, like, key)
                    guard = None
                log.write(step, time.perf_counter() - start, scalars)
            device_state, metrics = call(
                device_state, batches.constant, batches.at(step, options.steps_per_call), key
            )
            step += options.steps_per_call
            pending.append(metrics)
            next_phase = problem.phase_at(step)
            scalars = {}
            is_logged = step % options.log_every_steps == 0 or next_phase.first_step == step
            if is_logged or step == options.steps:
                scalars = {f"train/{name}": value for name, value in _mean(pending).items()}
                pending = []
                _check_finite(scalars, step)
                bar.set_postfix_str(_watched(scalars))
            bar.update(options.steps_per_call)
            selection = None
            if step % options.evaluate_every_steps == 0 or step == options.steps:
                params = device_state.evaluation_params
                figures = evaluate(params, dataset.validation, key)
                scalars |= {f"validation/{name}": value for name, value in figures.items()}
                selection = figures[problem.selection]
            if scalars:
                log.write(step, time.perf_counter() - start, scalars)
            if selection is not None or stop:
                checkpoints.save(step, parallel.unreplicate(device_state), run, selection)
            if selection is not None:
                on_evaluation(log.rows)
            if stop and step < options.steps:
                raise TrainingInterrupted(step)
            if next_phase.first_step == step and step < options.steps:
                state = _enter(next_phase, step, parallel.unreplicate(device_state))
                device_state = parallel.replicate(state, options.devices)
                call = _compile(next_phase.loss, problem, batches, options, like, key)
    log.close()
    return _finish(checkpoints, like, evaluate, dataset, key, log.wall_s, options)


class Evaluation:
    """Means over a split of values per example, in batches of one shape."""

    def __init__(self, problem: Problem, options: TrainingOptions) -> None:
        self._sums = parallel.compile_evaluation(problem.values, options.devices)
        self._options = options
        self._n_dims = problem.n_dims

    def __call__(self, params: Params, split: Split, key: jax.Array) -> dict[str, float]:
        """Figures of replicated params: those of `Problem.values`, and of each nll its bits/dim."""
        totals: dict[str, float] = {}
        key = jax.random.fold_in(key, 2**31 - 1)  # apart from every step's
        batch_size = self._options.batch_size
        for index, batch in enumerate(sequential_batches(split, batch_size)):
            n_devices = len(self._options.devices)
            x, y, mask = (
                parallel.shard(array, n_devices) for array in (batch.x, batch.y, batch.mask)
            )
            sums = self._sums(params, x, y, mask, jax.random.fold_in(key, index))
            for name, value in parallel.unreplicate(sums).items():
                totals[name] = totals.get(name, 0.0) + float(value)
        figures = {name: total / len(split) for name, total in totals.items()}
        for name in [name for name in figures if "nll" in name]:
            bits = figures[name] / (self._n_dims * np.log(2.0))
            figures[name.replace("nll", "bits_per_dim")] = bits
        return figures


def _compile(
    loss: Loss, problem: Problem, batches: Batches, options: TrainingOptions, like: TrainState,
    key: jax.Array,
) -> parallel.TrainCall:
    """The compiled call of steps on this loss."""

    def step(state: TrainState, batch: Labelled, key: jax.Array) -> tuple[TrainState, Metrics]:
        return train_step(state, batch, key, loss=loss, optimizer=problem.optimizer,
                          ema_decay=options.ema_decay)

    return parallel.compile_training(step, batches, options.devices, state=like, key=key,
                                     n_steps=options.steps_per_call)


def _enter(phase: Phase, step: int, state: TrainState) -> TrainState:
    """The state that a phase begins with; a state from within the phase stays as it is."""
    if step != phase.first_step or phase.prepare is None:
        return state
    params = phase.prepare(state.params)
    ema_params = state.ema_params
    if ema_params is not None:  # what was averaged was made anew
        ema_params = jax.tree.map(jnp.copy, params)
    return TrainState(state.step, params, state.opt_state, ema_params)


def _rows(split: Split, indices: np.ndarray) -> tuple[Any, Any]:
    """Rows and labels on the host."""
    return np.asarray(split.x[indices]), None if split.y is None else split.y[indices]


def _creation(
    problem: Problem, split: Split, indices: np.ndarray, options: TrainingOptions, key: jax.Array
) -> tuple[Any, tuple[Any, ...]]:
    """What makes the state before the first step, and its arguments.

    What depends on data is set from the first batch.
    """
    x, y = _rows(split, indices)

    def create(key: jax.Array, x: Any, y: Any) -> TrainState:
        params = problem.init(key, x, y)
        return create_state(params, problem.optimizer, with_ema=options.ema_decay > 0)

    return parallel.compile_once(create), (jax.random.fold_in(key, 2**31 - 2), x, y)


def _finish(
    checkpoints: Checkpoints, like: TrainState, evaluate: Evaluation, dataset: Dataset,
    key: jax.Array, wall_s: float, options: TrainingOptions,
) -> tuple[TrainState, dict[str, float]]:
    """Figures of the state that was best on validation."""
    for step in checkpoints.candidates(None):
        state = checkpoints.try_restore(step, like)
        if state is not None:
            break
    else:
        raise UserError("no checkpoint of this run can be read; train anew in another folder")
    checkpoints.close()
    params = parallel.replicate(state.evaluation_params, options.devices)
    summary: dict[str, float] = {}
    for name, split in (("validation", dataset.validation), ("test", dataset.test)):
        figures = evaluate(params, split, key)
        summary |= {f"{name}/{figure}": value for figure, value in figures.items()}
    summary |= {"n_params": n_params(state.params), "steps": options.steps,
                "selected_step": int(state.step), "wall_s": wall_s}
    return state, summary


def _mean(metrics: list[Metrics]) -> dict[str, float]:
    """Means over calls of the first device's metrics (all devices have the same)."""
    on_host = [parallel.unreplicate(call) for call in metrics]
    return {name: float(np.mean([call[name] for call in on_host])) for name in on_host[0]}


def _watched(scalars: dict[str, float]) -> str:
    """What the progress bar shows."""
    if "train/bits_per_dim" in scalars:
        return f"{scalars['train/bits_per_dim']:.3f} bits/dim"
    return f"loss {scalars['train/loss']:.4f}"


def _check_finite(scalars: dict[str, float], step: int) -> None:
    broken = [name for name, value in scalars.items() if not np.isfinite(value)]
    if broken:
        raise UserError(
            f"{broken[0]} is no longer finite at step {step}; lower optimizer.learning_rate or "
            "optimizer.clip_norm, or the flow's clamp"
        )


def _progress(step: int, steps: int) -> tqdm:
    """A bar with rate and ETA."""
    return tqdm(total=steps, initial=step, unit="step", dynamic_ncols=True, smoothing=0.05)


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that holds the signal that asked to stop; a second one ends at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are someone else's
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
