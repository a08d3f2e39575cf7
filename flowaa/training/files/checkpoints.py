"""Checkpoints of a run: parameters and the rest of the state, by orbax, and JSON beside them.

A step has three items: `params`, the parameters that are evaluated (the averaged ones where there
are any); `state`, the rest of what training goes on from; and `run`, the JSON.
"""

import contextlib
import math
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from flowaa.errors import UserError, warn
from flowaa.training.files.finite import first_not_finite
from flowaa.training.files.of_model import of_model
from flowaa.training.files.retention import superfluous
from flowaa.training.files.step_folders import Damaged, StepFolders, Unwritable
from flowaa.training.state import Params, TrainState

_VALIDATION_LOSS = "validation_loss"  # its key in the item `run`
_CAN_GO_ON = "can_go_on"  # there too: whether the state is one of training
# Raised when checkpoints are laid out otherwise, or when the same config and parameters come to
# describe another density: 2 with the fixed permutations that leave no channel in its place, 3
# with manifests.
_VERSION = 3
_MARGIN_BYTES = 2**20  # of a checkpoint's files beside the arrays


class Checkpoints:
    """The folder `checkpoints/` of a run: its newest steps, and the best on validation."""

    def __init__(self, folder: Path, *, keep: int = 2, read_only: bool = False) -> None:
        """Opens the folder.

        Args:
            folder: where the steps lie.
            keep: how many of the newest are kept; the best on validation is kept besides.
            read_only: never writes, creates or deletes anything.

        Raises:
            UserError: the checkpoints are of another version of flowaa.
        """
        self._keep, self._read_only = keep, read_only
        self._validation_losses: dict[int, float] = {}
        self._damaged: set[int] = set()  # steps that the user was warned of
        self._files = StepFolders(folder, read_only=read_only)
        self._folder = self._files.folder
        for step in self.steps():
            run = self._run_of(step)
            if run is not None and run.get("version") != _VERSION:
                self.close()
                command = "detect" if folder.parent.parent.name == "detectors" else "train"
                raise UserError(
                    f"{folder.parent} was trained by another version of flowaa, whose checkpoints "
                    "this one cannot read; train anew, in another folder: python -m "
                    f"experiments.{command}")
            if run is not None and isinstance(run.get(_VALIDATION_LOSS), float):
                self._validation_losses[step] = run[_VALIDATION_LOSS]

    def save(
        self, step: int, state: TrainState, run: dict[str, Any],
        validation_loss: float | None = None, *, can_go_on: bool = True,
    ) -> None:
        """Saves a step, in the place of one that is there.

        Args:
            step: steps taken.
            state: on the host.
            run: what it takes to rebuild the state's meaning and to go on, as JSON.
            validation_loss: the best checkpoint is the one where it is smallest; one without, or
                where it is not finite, is not among those chosen from.
            can_go_on: whether training may go on from the state; False where it is parameters
                alone, which never replace a state of training.

        Raises:
            UserError: the state is not finite, the folder has a state of training and this is none,
                or the disk is full or cannot be written. What was saved before stays as it is.
        """
        if not can_go_on and any((self._run_of(there) or {}).get(_CAN_GO_ON, True)
                                 for there in self.steps()):
            raise UserError(f"{self._folder.parent} holds a run that can be trained on; "
                            "save in another folder")
        if broken := first_not_finite(state):
            raise UserError(f"the state of step {step} is not saved: {broken} is not finite; lower "
                            "optimizer.learning_rate or optimizer.clip_norm")
        if validation_loss is not None:
            validation_loss = float(validation_loss) if math.isfinite(validation_loss) else None
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(state.evaluation_params),
            state=ocp.args.StandardSave(state.without_evaluation_params()),
            run=ocp.args.JsonSave({**run, "version": _VERSION, _CAN_GO_ON: can_go_on,
                                   _VALIDATION_LOSS: validation_loss}),
        )
        try:
            # Looked at before: of a write that fails, orbax's threads leave tracebacks.
            n_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _MARGIN_BYTES
            if shutil.disk_usage(self._folder).free < n_bytes:
                raise Unwritable(f"it needs {n_bytes / 2**20:.0f} MiB of free space")
            self._files.write(step, items)
        except Unwritable as reason:
            raise UserError(
                f"checkpoint {step} cannot be written to {self._folder}: {reason}; make room, then "
                "the same command goes on where it stopped") from reason
        self._validation_losses.pop(step, None)
        if validation_loss is not None:
            self._validation_losses[step] = validation_loss
        for old in superfluous(self.steps(), self._validation_losses, self._keep):
            self._files.delete(old)

    def steps(self) -> list[int]:
        """Steps there are, oldest first."""
        return self._files.steps()

    def restore_newest(self, like: TrainState) -> tuple[int, TrainState, dict[str, Any]] | None:
        """The newest whole step, its state and `run`, or None where nothing was saved yet.

        Damaged steps after it are moved to the folder `damaged/` of the run, with a warning.

        Args:
            like: arrays or shapes that the state must match.

        Raises:
            UserError: there are checkpoints and none can be read, or they are another model's, or
                they are parameters alone.
        """
        steps = self.steps()
        damaged: dict[int, str] = {}
        for step in reversed(steps):
            if reason := self._files.damage(step, "run", "params", "state"):
                damaged[step] = reason
                continue
            run = self.try_run_of(step)
            if run is not None and not run.get(_CAN_GO_ON, True):
                raise UserError(f"{self._folder.parent} holds what Run.save wrote: parameters, and "
                                "nothing that training goes on from; train in another folder")
            state = self.try_restore(step, like)
            if state is not None and run is not None:
                for broken, reason in damaged.items():
                    self._warn(broken, f"{reason}; it is now {self._files.put_aside(broken)}, and "
                                       f"training goes on from step {step}")
                for older in steps[: steps.index(step)]:
                    if reason := self._files.damage(older, "run"):
                        self._warn(older, reason)
                return step, state, run
        for step, reason in damaged.items():
            self._warn(step, reason)
        if steps:
            raise UserError(f"no checkpoint in {self._folder} can be read; remove the run's folder "
                            "or give another")
        return None

    def try_restore(self, step: int, like: TrainState) -> TrainState | None:
        """The state at `step`, or None, with a warning, where it cannot be read.

        Raises:
            UserError: its parameters are not like these.
        """
        params = self.try_params(step, like.evaluation_params)
        if params is None:
            return None
        rest = self._try_to_read(
            step, "state", ocp.args.StandardRestore(like.without_evaluation_params()))
        return None if rest is None else rest.with_evaluation_params(params)

    def try_params(self, step: int, like: Params) -> Params | None:
        """The parameters that are evaluated, or None, with a warning, where they cannot be read.

        Args:
            step: steps taken.
            like: arrays or shapes that they must match.

        Raises:
            UserError: they are those of another model.
        """
        params = self._try_to_read(step, "params", ocp.args.StandardRestore())
        if params is None:
            return None
        return of_model(params, like, f"checkpoint {step} of {self._folder}")

    def try_run_of(self, step: int) -> dict[str, Any] | None:
        """What `save` was given as `run`, or None, with a warning, where it cannot be read."""
        run = self._try_to_read(step, "run", ocp.args.JsonRestore())
        if run is None or isinstance(run, dict):
            return run
        self._warn(step, "run is no mapping")
        return None

    def validation_losses(self) -> dict[int, float]:
        """The validation loss of each step that has one."""
        return {step: self._validation_losses[step] for step in self.steps()
                if step in self._validation_losses}

    def candidates(self, step: int | None) -> list[int]:
        """Steps to try in turn: the one asked for, or the best on validation, then the newest.

        Raises:
            UserError: there is no checkpoint, or none at the step asked for.
        """
        steps = self.steps()
        if not steps:
            raise UserError(f"{self._folder} holds no checkpoint; train first")
        if step is not None:
            if step not in steps:
                raise UserError(f"there is no checkpoint of step {step}; there are {steps}")
            return [step]
        losses = self.validation_losses()
        best_first = sorted(losses, key=lambda step: losses[step])
        return [*best_first, *(step for step in reversed(steps) if step not in losses)]

    def close(self) -> None:
        """Ends orbax's threads."""
        self._files.close()

    def _run_of(self, step: int) -> dict[str, Any] | None:
        """The item `run`, whatever its version, or None where it is damaged."""
        if not self._files.has_manifest(step):  # versions before had none
            with contextlib.suppress(Exception):
                return self._files.read_unchecked(step, "run", ocp.args.JsonRestore())
        if self._files.damage(step, "run") and not self._read_only:
            return None  # told of in `restore_newest`
        return self.try_run_of(step)

    def _try_to_read(self, step: int, item: str, args: ocp.args.CheckpointArgs) -> Any | None:
        try:
            return self._files.read(step, item, args)
        except Damaged as reason:
            self._warn(step, str(reason))
            return None

    def _warn(self, step: int, reason: str) -> None:
        if step not in self._damaged:
            self._damaged.add(step)
            warn(f"checkpoint {step} of {self._folder} is damaged and passed over: {reason}")
