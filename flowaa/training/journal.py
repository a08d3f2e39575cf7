"""What a training reads from and writes to its run's folder, and decides by it.

All hosts have a journal and call its methods together; the main host's does what they say, and the
others hear what came of it.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from flowaa.data.batch_order import BatchOrder
from flowaa.data.dataset import Dataset
from flowaa.errors import UserError
from flowaa.training.faults.divergence import check_finite, check_sound, warn_of_skipped
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.files.finite import only_finite
from flowaa.training.files.metrics_log import MetricsLog
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.guard import GIVEN_UP
from flowaa.training.hosts.agreement import is_main, on_main, share, tell, told_by_main
from flowaa.training.problem import Problem, TrainingOptions
from flowaa.training.progress import Progress
from flowaa.training.state import TrainState
from flowaa.training.step import Metrics


class Journal:
    """Checkpoints, metrics and the progress bar of a run, within a `with`."""

    def __init__(
        self, problem: Problem, dataset: Dataset, order: BatchOrder, options: TrainingOptions,
        folder: RunFolder, run: dict[str, Any],
        on_evaluation: Callable[[list[dict[str, Any]]], None], like: TrainState,
    ) -> None:
        """Sets up a journal.

        Args:
            problem: what is trained.
            dataset: what on.
            order: of its batches.
            options: how.
            folder: a claimed folder.
            run: what checkpoints keep beside the state, as JSON.
            on_evaluation: called with all metrics' rows after each evaluation, on the main host.
            like: arrays or shapes of a state.
        """
        self._problem, self._dataset, self._order = problem, dataset, order
        self._options, self._folder, self._run = options, folder, run
        self._on_evaluation, self._like = on_evaluation, like
        self._open_files = contextlib.ExitStack()
        self.state: TrainState | None = None  # to go on from, on the host; None = there is none
        self.gave_reversible_up = False
        self.is_over = False  # whether all that was asked for is done

    def __enter__(self) -> "Journal":
        """Opens the files, and reads the newest checkpoint where there is one.

        Raises:
            UserError: there are checkpoints that cannot be read, or are another model's.
        """
        with self._open_files:
            told = told_by_main(self._open)
            self.gave_reversible_up, self.is_over = told["gave_reversible_up"], told["is_over"]
            if told["goes_on"]:
                self.state = share(self.state, self._like)
            self._open_files = self._open_files.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        """Closes the files."""
        self._open_files.close()

    def begin(self) -> None:
        """Training begins: the clock runs and the bar is shown."""
        if is_main():
            step = 0 if self.state is None else int(self.state.step)
            self._start = time.perf_counter() - self._log.wall_s
            self._bar = self._open_files.enter_context(Progress(step, self._options.steps))

    def is_late(self) -> bool:
        """Whether the time that training may take is up, by the main host's clock."""
        return is_main() and 0 < self._options.max_seconds <= time.perf_counter() - self._start

    def add(self, metrics: Metrics) -> None:
        """Adds the metrics of a call, which the next row is made of."""
        if is_main():
            self._log.means.add(metrics)
            self._bar.update(self._options.steps_per_call)

    def write(self, step: int, row: dict[str, float]) -> None:
        """Adds a row as it is."""
        if is_main():
            self._log.write(step, time.perf_counter() - self._start, row)

    def record(
        self, step: int, figures: dict[str, float] | None,
        n_skipped: Callable[[], tuple[int, int]], *, with_means: bool,
    ) -> None:
        """Adds a row of means since the last one and of the validation split's figures.

        Args:
            step: steps taken.
            figures: of the validation split; None where it was not evaluated.
            n_skipped: gives the steps skipped altogether and, up to now, in a row.
            with_means: whether the row has means.

        Raises:
            UserError: training has diverged.
        """
        on_main(lambda: self._record(step, figures or {}, n_skipped, with_means=with_means))

    def save(
        self, step: int, state: Callable[[], TrainState], figures: dict[str, float] | None
    ) -> None:
        """Saves a checkpoint; after an evaluation, tells of it and looks whether training is over.

        Args:
            step: steps taken.
            state: gives the state on the host.
            figures: as for `record`.

        Raises:
            UserError: the state is not finite, or the disk is full or cannot be written.
        """
        self.is_over = told_by_main(lambda: self._save(step, state(), figures))

    def best_state(self) -> TrainState:
        """The state that was best on validation, on the host.

        Raises:
            UserError: no checkpoint can be read.
        """
        state: TrainState = share(on_main(self._best_state), self._like)
        return state

    @property
    def wall_s(self) -> float:
        """Seconds of training until the last row; the same on all hosts."""
        wall_s: float = tell(self._log.wall_s if is_main() else 0.0)
        return wall_s

    def _open(self) -> dict[str, bool]:
        self._checkpoints = self._open_files.enter_context(contextlib.closing(
            Checkpoints(self._folder.checkpoints, keep=self._options.keep_checkpoints)))
        found = self._checkpoints.restore_newest(self._like)
        step, self.state, saved = found or (0, None, {})
        self._log = self._open_files.enter_context(contextlib.closing(
            MetricsLog(self._folder, step, saved.get("log"))))
        return {"goes_on": found is not None, "is_over": self._has_ended(self._log.wall_s),
                "gave_reversible_up": any(GIVEN_UP in row for row in self._log.rows)}

    def _record(
        self, step: int, figures: dict[str, float], n_skipped: Callable[[], tuple[int, int]], *,
        with_means: bool,
    ) -> None:
        row: dict[str, float] = {}
        if with_means:
            row = {f"train/{name}": mean for name, mean in self._log.means.take().items()}
            self._tell_of_skipped(step)
            if total := n_skipped()[0]:
                row["train/skipped_steps"] = total
            self._bar.show(row)
        row |= {f"validation/{name}": value for name, value in figures.items()}
        check_sound(row, n_skipped()[1], self._options.max_skipped_steps, self._folder, step)
        self.write(step, only_finite(row, f"step {step}"))

    def _tell_of_skipped(self, step: int) -> None:
        """Warns of the steps skipped since the last row."""
        n = self._options.steps_per_call
        if calls := self._log.means.skipped_calls:  # counted from now: -1 is the last
            warn_of_skipped(self._dataset, self._order, [
                step + call * n + ahead for call in calls for ahead in range(n)])

    def _save(self, step: int, state: TrainState, figures: dict[str, float] | None) -> bool:
        """Saves; returns whether training is over."""
        validation_loss = None
        if figures is not None and self._problem.is_chosen_from(step):
            validation_loss = figures[self._problem.validation_loss]
        check_finite(state, self._folder, step)
        self._checkpoints.save(
            step, state, {**self._run, "log": self._log.to_json()}, validation_loss)
        if figures is None:
            return False
        self._on_evaluation(self._log.rows)
        return self._has_ended(0.0)

    def _has_ended(self, wall_s: float) -> bool:
        """Whether time is up, or the last evaluations of the last phase did not better it."""
        if 0 < self._options.max_seconds <= wall_s:
            return True
        name, rows = f"validation/{self._problem.validation_loss}", self._log.rows
        losses = [row[name] for row in rows
                  if name in row and self._problem.is_chosen_from(row["step"])]
        if not losses or not self._options.patience:
            return False
        return len(losses) - 1 - int(np.argmin(losses)) >= self._options.patience

    def _best_state(self) -> TrainState:
        states = (self._checkpoints.try_restore(step, self._like)
                  for step in self._checkpoints.candidates(None))
        state = next((state for state in states if state is not None), None)
        if state is None:
            raise UserError("no checkpoint of this run can be read; train anew in another folder")
        return state
