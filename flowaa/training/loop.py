"""The training loop: step, log, evaluate, save."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from flowaa.data.batch_order import BatchOrder
from flowaa.data.batches import Batches, Labelled, open_batches, read_rows
from flowaa.data.dataset import Dataset, Split
from flowaa.errors import UserError
from flowaa.training import parallel
from flowaa.training.evaluation import Evaluation
from flowaa.training.faults.divergence import check_finite, check_sound, warn_of_skipped
from flowaa.training.faults.signals import TrainingInterrupted, stop_requests
from flowaa.training.faults.skipping import n_skipped
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.files.finite import only_finite
from flowaa.training.files.metrics_log import MetricsLog
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.guard import GIVEN_UP
from flowaa.training.problem import Problem, TrainingOptions
from flowaa.training.progress import Progress
from flowaa.training.state import Params, TrainState, create_state, n_params
from flowaa.training.step import Loss, Metrics, train_step


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
        UserError: training diverged, or the batches do not fit data or devices.
    """
    key = jax.random.key(options.seed)
    evaluate = Evaluation(problem, options)
    checkpoints = Checkpoints(folder.checkpoints, keep=options.keep_checkpoints)
    with contextlib.closing(checkpoints), contextlib.closing(_open(dataset, options)) as batches:
        stepper = Stepper(problem, dataset.train, batches, options, key)
        step, state, saved = checkpoints.restore_newest(stepper.state_shapes) or (0, None, {})
        log = MetricsLog(folder, step, saved.get("log"))
        stepper.begin(state, gave_reversible_up=any(GIVEN_UP in row for row in log.rows))
        start = time.perf_counter() - log.wall_s
        is_over = _has_ended(problem, options, log.rows, log.wall_s)
        with contextlib.closing(log), Progress(step, options.steps) as bar, stop_requests() as stop:
            while step < options.steps and not is_over:
                if row := stepper.check_gradients():
                    log.write(step, time.perf_counter() - start, row)
                log.means.add(stepper.advance())
                step = stepper.step
                bar.update(options.steps_per_call)
                is_late = 0 < options.max_seconds <= time.perf_counter() - start
                is_last, validation_loss = is_late or step == options.steps, None
                if is_last or step % options.log_every_steps == 0 or problem.begins_phase(step):
                    row = {f"train/{name}": mean for name, mean in log.means.take().items()}
                    row |= _skipped_figures(
                        stepper, dataset, batches.order, options, log.means.skipped_calls)
                    bar.show(row)
                is_evaluated = is_last or step % options.evaluate_every_steps == 0
                if is_evaluated:
                    figures = evaluate(stepper.evaluation_params, dataset.validation, key)
                    row |= {f"validation/{name}": value for name, value in figures.items()}
                    if problem.is_chosen_from(step):
                        validation_loss = figures[problem.validation_loss]
                if row:
                    check_sound(row, stepper.n_skipped()[1], options.max_skipped_steps, folder,
                                step)
                    row = only_finite(row, f"step {step}")
                    log.write(step, time.perf_counter() - start, row)
                if is_evaluated or stop:
                    state = stepper.state()
                    check_finite(state, folder, step)
                    checkpoints.save(step, state, {**run, "log": log.to_json()}, validation_loss)
                if is_evaluated:
                    on_evaluation(log.rows)
                if is_evaluated:
                    is_over = is_late or _has_ended(problem, options, log.rows, 0.0)
                if stop and not (is_last or is_over):
                    raise TrainingInterrupted(step, stop[0])
        return _finish(checkpoints, stepper, evaluate, dataset, key, log.wall_s, options)


class Stepper:
    """The state on the devices, and the compiled call that takes it some steps further."""

    def __init__(
        self, problem: Problem, split: Split, batches: Batches, options: TrainingOptions,
        key: jax.Array,
    ) -> None:
        self._problem, self._split, self._batches = problem, split, batches
        self._options, self._key = options, key

        def create(key: jax.Array, rows: Labelled) -> TrainState:
            params = problem.init(key, rows)
            return create_state(params, problem.optimizer, with_ema=options.ema_decay > 0)

        self._create = parallel.compile_once(create)
        # Parameters that depend on data are set from the first batch.
        self._arguments = (jax.random.fold_in(key, 2**31 - 2), self._rows(0))
        self.state_shapes: TrainState = self._create.eval_shape(*self._arguments)
        self.step = 0

    def begin(self, state: TrainState | None, *, gave_reversible_up: bool) -> None:
        """Compiles the call, and puts a state, or a new one, on the devices."""
        self.step = 0 if state is None else int(state.step)
        self._phase = self._problem.phase_at(self.step)
        loss, self._guard = self._phase.loss, self._problem.guard
        if self._guard is not None and gave_reversible_up:
            loss, self._guard = self._guard.stored_loss, None
        self._call = self._compile(loss)
        if state is None:  # made while the call is compiled
            state = self._create(*self._arguments)
        self._device_state = parallel.replicate(self._phase.enter(state), self._options.devices)
        self._call.wait()

    def check_gradients(self) -> dict[str, float]:
        """The guard's figures where it is due; what it finds may change the loss."""
        if self._guard is None or not self._guard.is_due(self.step):
            return {}
        params = parallel.unreplicate(self._device_state.params)
        is_trusted, figures = self._guard.check(params, self._rows(self.step), self._key)
        if not is_trusted:
            self._call, self._guard = self._compile(self._guard.stored_loss), None
        return figures

    def advance(self) -> Metrics:
        """Takes the steps of one call and returns their mean metrics, on the devices."""
        phase = self._problem.phase_at(self.step)
        if phase != self._phase:
            self._phase, self._call = phase, self._compile(phase.loss)
            self._device_state = parallel.replicate(
                phase.enter(self.state()), self._options.devices)
        batch = self._batches.at(self.step, self._options.steps_per_call)
        self._device_state, metrics = self._call(
            self._device_state, self._batches.constant, batch, self._key)
        self.step += self._options.steps_per_call
        return metrics

    def state(self) -> TrainState:
        """The state on the host."""
        return parallel.unreplicate(self._device_state)

    def n_skipped(self) -> tuple[int, int]:
        """Steps skipped altogether and, up to now, in a row."""
        return n_skipped(self._device_state.opt_state)

    @property
    def evaluation_params(self) -> Params:
        """The parameters to evaluate, on the devices."""
        return self._device_state.evaluation_params

    def _compile(self, loss: Loss) -> parallel.TrainCall:
        def step(state: TrainState, batch: Labelled, key: jax.Array) -> tuple[TrainState, Metrics]:
            return train_step(state, batch, key, loss=loss, optimizer=self._problem.optimizer,
                              ema_decay=self._options.ema_decay)

        return parallel.compile_training(
            step, self._batches, self._options.devices, state=self.state_shapes, key=self._key,
            n_steps=self._options.steps_per_call)

    def _rows(self, step: int) -> Labelled:
        """Rows of a step on the host."""
        return read_rows(self._split, self._batches.order.indices(step))


def _open(dataset: Dataset, options: TrainingOptions) -> Batches:
    return open_batches(
        dataset.train, batch_size=options.batch_size, seed=options.seed,
        device_bytes=options.device_bytes, devices=options.devices,
    )


def _has_ended(
    problem: Problem, options: TrainingOptions, rows: list[dict[str, Any]], wall_s: float
) -> bool:
    """Whether time is up, or the last phase's last evaluations were no better than one before."""
    if 0 < options.max_seconds <= wall_s:
        return True
    name = f"validation/{problem.validation_loss}"
    losses = [row[name] for row in rows if name in row and problem.is_chosen_from(row["step"])]
    if not losses or not options.patience:
        return False
    return len(losses) - 1 - int(np.argmin(losses)) >= options.patience


def _skipped_figures(
    stepper: Stepper, dataset: Dataset, order: BatchOrder, options: TrainingOptions,
    calls: list[int],
) -> dict[str, float]:
    """Of a row: how many steps were skipped so far; the user is told of those since the last row.

    Args:
        stepper: after the row's steps.
        dataset: what is trained on.
        order: of its batches.
        options: with the steps of a call.
        calls: those with skipped steps, counted from the last one: -1 and before.
    """
    if calls:
        n = options.steps_per_call
        warn_of_skipped(dataset, order, [
            stepper.step + call * n + ahead for call in calls for ahead in range(n)])
    total, _ = stepper.n_skipped()
    return {"train/skipped_steps": total} if total else {}


def _finish(
    checkpoints: Checkpoints, stepper: Stepper, evaluate: Evaluation, dataset: Dataset,
    key: jax.Array, wall_s: float, options: TrainingOptions,
) -> tuple[TrainState, dict[str, float]]:
    """The state that was best on validation, and its figures."""
    states = (checkpoints.try_restore(step, stepper.state_shapes)
              for step in checkpoints.candidates(None))
    state = next((state for state in states if state is not None), None)
    if state is None:
        raise UserError("no checkpoint of this run can be read; train anew in another folder")
    params = parallel.replicate(state.evaluation_params, options.devices)
    summary: dict[str, float] = {}
    for name, split in (("validation", dataset.validation), ("test", dataset.test)):
        figures = evaluate(params, split, key)
        summary |= {f"{name}/{figure}": value for figure, value in figures.items()}
    summary |= {"n_params": n_params(state.params), "steps": stepper.step,
                "skipped_steps": stepper.n_skipped()[0],
                "selected_step": int(state.step), "wall_s": wall_s}
    return state, summary
