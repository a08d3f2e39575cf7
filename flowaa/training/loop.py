"""The training loop: step, log, evaluate, save; on one host or on many."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from flowaa.data.batches import Batches, Labelled, local_places, open_batches, read_rows
from flowaa.data.dataset import Dataset, Split
from flowaa.training import parallel
from flowaa.training.evaluation import Evaluation
from flowaa.training.faults.signals import TrainingInterrupted, stop_requests
from flowaa.training.faults.skipping import n_skipped
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.hosts.agreement import connect, n_hosts, on_main, share, told_by_main
from flowaa.training.hosts.wishes import Wishes
from flowaa.training.journal import Journal
from flowaa.training.problem import Problem, TrainingOptions
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
    with contextlib.closing(_open(dataset, options)) as batches:
        stepper = Stepper(problem, dataset.train, batches, options, key)
        with Journal(problem, dataset, batches.order, options, folder, run, on_evaluation,
                     stepper.state_shapes) as journal:
            connect(options.devices)
            stepper.begin(journal.state, gave_reversible_up=journal.gave_reversible_up)
            journal.begin()
            with stop_requests() as signals:
                _take_steps(stepper, journal, Wishes(signals, journal.is_late), problem, options,
                            lambda: evaluate(stepper.evaluation_params, dataset.validation, key))
            state = journal.best_state()
            params = parallel.replicate(state.evaluation_params, options.devices)
            summary: dict[str, float] = {}
            for name, split in (("validation", dataset.validation), ("test", dataset.test)):
                figures = evaluate(params, split, key)
                summary |= {f"{name}/{figure}": value for figure, value in figures.items()}
            summary |= {"n_params": n_params(state.params), "steps": stepper.step,
                        "skipped_steps": stepper.n_skipped()[0],
                        "selected_step": int(state.step), "wall_s": journal.wall_s}
    return state, summary


def _take_steps(
    stepper: "Stepper", journal: Journal, wishes: Wishes, problem: Problem,
    options: TrainingOptions, validate: Callable[[], dict[str, float]],
) -> None:
    """Trains until steps or time are up, validation gets no better, or a signal asks to stop."""
    step = stepper.step
    while step < options.steps and not journal.is_over:
        if row := stepper.check_gradients():
            journal.write(step, row)
        metrics = stepper.advance(wishes.own())
        wishes.hear(metrics)
        journal.add(metrics)
        step = stepper.step
        is_last = wishes.time_is_up() or step == options.steps
        is_evaluated = is_last or step % options.evaluate_every_steps == 0
        with_means = (is_last or step % options.log_every_steps == 0
                      or problem.begins_phase(step))
        figures = validate() if is_evaluated else None
        if is_evaluated or with_means:
            journal.record(step, figures, stepper.n_skipped, with_means=with_means)
        signal = wishes.signal()
        if is_evaluated or signal:
            journal.save(step, stepper.state, figures)
        if is_last:
            return
        if signal and not journal.is_over:
            raise TrainingInterrupted(step, signal)


class Stepper:
    """The state on the devices, and the compiled call that takes it some steps further."""

    def __init__(
        self, problem: Problem, split: Split, batches: Batches, options: TrainingOptions,
        key: jax.Array,
    ) -> None:
        self._problem, self._split, self._batches = problem, split, batches
        self._options, self._key = options, key
        self._n_local = len(local_places(options.devices))
        self._device_state: TrainState

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
        # Made, if it is new, while the call is compiled.
        self._enter(lambda: self._create(*self._arguments) if state is None else state)
        self._call.wait()

    def check_gradients(self) -> dict[str, float]:
        """The guard's figures where it is due; what it finds may change the loss."""
        if self._guard is None or not self._guard.is_due(self.step):
            return {}
        guard = self._guard
        is_trusted, figures = told_by_main(lambda: guard.check(
            parallel.unreplicate(self._device_state.params), self._rows(self.step), self._key))
        if not is_trusted:
            self._call, self._guard = self._compile(self._guard.stored_loss), None
        return figures

    def advance(self, wish: int) -> Metrics:
        """Takes the steps of one call and returns their mean metrics, on the devices.

        Args:
            wish: this host's; among the metrics of many hosts is the largest.
        """
        phase = self._problem.phase_at(self.step)
        if phase != self._phase:
            self._phase, self._call = phase, self._compile(phase.loss)
            self._enter(self.state)
        batch = self._batches.at(self.step, self._options.steps_per_call)
        wishes = np.full(self._n_local, wish, np.int32) if n_hosts() > 1 else None
        self._device_state, metrics = self._call(
            self._device_state, self._batches.constant, batch, self._key, wishes)
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

    def _enter(self, state: Callable[[], TrainState]) -> None:
        """Puts the state that the phase begins with on the devices; the main host makes it."""
        entered = on_main(lambda: self._phase.enter(state()))
        self._device_state = parallel.replicate(
            share(entered, self.state_shapes), self._options.devices)

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
