"""Checkpoints of a run, by orbax: parameters, the rest of the state, and JSON beside them.

A step has three items: `params`, the parameters that are evaluated (the averaged ones where there
are any); `state`, the rest of what training goes on from; and `run`, the JSON.
"""

import math
import re
import shutil
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from flowaa.errors import UserError, warn
from flowaa.training.files.keep_best import KeepBest
from flowaa.training.files.quiet_orbax import quiet_orbax
from flowaa.training.state import Params, TrainState

_VALIDATION_LOSS = "validation_loss"  # its key in the item `run`
_CAN_GO_ON = "can_go_on"  # there too: whether the state is one of training; absent: it is
# Raised when the same config and parameters come to describe another density: 2 with the fixed
# permutations that leave no channel in its place.
_MODEL_VERSION = 2
_MARGIN_BYTES = 2**20  # of a checkpoint's files beside the arrays


class Checkpoints:
    """The folder `checkpoints/` of a run: its newest steps, and the best on validation."""

    def __init__(self, folder: Path, *, keep: int = 2, read_only: bool = False) -> None:
        """Opens the folder.

        Args:
            folder: where the steps lie.
            keep: how many of the newest are kept; the best on validation is kept besides.
            read_only: never writes, creates or deletes anything.
        """
        policy = ocp.checkpoint_managers
        self._validation_losses: dict[int, float] = {}
        self._damaged: set[int] = set()  # steps that the user was warned of
        with quiet_orbax():
            self._manager = ocp.CheckpointManager(
                folder.resolve(),
                options=ocp.CheckpointManagerOptions(
                    create=not read_only,
                    read_only=read_only,
                    enable_async_checkpointing=False,
                    preservation_policy=policy.AnyPreservationPolicy(
                        [policy.LatestN(keep), KeepBest(self._validation_losses)]
                    ),
                ),
                item_names=("params", "state", "run"),
            )
        for step in self.steps():
            run = self.try_run_of(step)
            if run is None:
                continue
            if run.get("model_version") != _MODEL_VERSION:
                self.close()
                command = "detect" if folder.parent.parent.name == "detectors" else "train"
                raise UserError(
                    f"{folder.parent} was trained by another version of flowaa, in which the same "
                    "parameters describe another density; train anew, in another folder: python "
                    f"-m experiments.{command}")
            if run[_VALIDATION_LOSS] is not None:
                self._validation_losses[step] = run[_VALIDATION_LOSS]

    def save(
        self, step: int, state: TrainState, run: dict[str, Any],
        validation_loss: float | None = None, *, can_go_on: bool = True,
    ) -> None:
        """Saves a step; one that is there already was passed over as damaged and is replaced.

        Args:
            step: steps taken.
            state: on the host.
            run: what it takes to rebuild the state's meaning and to go on, as JSON.
            validation_loss: the best checkpoint is the one where it is smallest; one without, or
                where it is not finite, is not among those chosen from.
            can_go_on: whether training may go on from the state; False where it is parameters
                alone, which never replace a state of training.

        Raises:
            UserError: the folder has a state of training and this is none, or the disk is full or
                cannot be written.
        """
        if not can_go_on and any((self.try_run_of(there) or {}).get(_CAN_GO_ON, True)
                                 for there in self.steps()):
            raise UserError(f"{self._manager.directory.parent} holds a run that can be trained on; "
                            "save in another folder")
        self._validation_losses.pop(step, None)
        if validation_loss is not None and math.isfinite(validation_loss):
            self._validation_losses[step] = validation_loss
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(state.evaluation_params),
            state=ocp.args.StandardSave(state.without_evaluation_params()),
            run=ocp.args.JsonSave({**run, "model_version": _MODEL_VERSION, _CAN_GO_ON: can_go_on,
                                   _VALIDATION_LOSS: self._validation_losses.get(step)}),
        )
        # Looked at before: of a write that fails, orbax's threads leave tracebacks.
        n_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _MARGIN_BYTES
        if shutil.disk_usage(self._manager.directory).free < n_bytes:
            raise self._unwritable(step, f"it needs {n_bytes / 2**20:.0f} MiB of free space")
        try:
            with quiet_orbax():
                if step in self.steps():
                    self._manager.delete(step)
                self._manager.save(step, args=items)
                self._manager.wait_until_finished()
        except (OSError, ValueError) as error:
            reason = _refusal(error)
            if reason is None:
                raise
            raise self._unwritable(step, reason) from error

    def steps(self) -> list[int]:
        """Steps there are, oldest first."""
        return sorted(self._manager.all_steps())

    def restore_newest(self, like: TrainState) -> tuple[int, TrainState, dict[str, Any]] | None:
        """The newest whole step, its state and `run`, or None where nothing was saved yet.

        Args:
            like: arrays or shapes that the state must match.

        Raises:
            UserError: there are checkpoints and none can be read, or they are another model's, or
                they are parameters alone.
        """
        steps = self.steps()
        for step in reversed(steps):
            run = self.try_run_of(step)
            if run is not None and not run.get(_CAN_GO_ON, True):
                raise UserError(f"{self._manager.directory.parent} holds what Run.save wrote: "
                                "parameters, and nothing that training goes on from; train in "
                                "another folder")
            state = self.try_restore(step, like)
            if state is not None and run is not None:
                return step, state, run
        if steps:
            raise UserError(f"no checkpoint in {self._manager.directory} can be read; remove the "
                            "run's folder or give another")
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
        shapes, expected = _shapes(params), _shapes(like)
        for name in sorted(shapes.keys() | expected.keys()):
            if shapes.get(name) != expected.get(name):
                raise UserError(
                    f"checkpoint {step} of {self._manager.directory} is of another model than its "
                    f"config describes: params{name} is {shapes.get(name, 'absent')}, not "
                    f"{expected.get(name, 'absent')}; train anew in another folder")
        leaves = {jax.tree_util.keystr(path): leaf
                  for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
        return jax.tree_util.tree_map_with_path(
            lambda path, _: leaves[jax.tree_util.keystr(path)], like)

    def try_run_of(self, step: int) -> dict[str, Any] | None:
        """What `save` was given as `run`, or None, with a warning, where it cannot be read."""
        return self._try_to_read(step, "run", ocp.args.JsonRestore())

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
            raise UserError(f"{self._manager.directory} holds no checkpoint; train first")
        if step is not None:
            if step not in steps:
                raise UserError(f"there is no checkpoint of step {step}; there are {steps}")
            return [step]
        losses = self.validation_losses()
        best_first = sorted(losses, key=lambda step: losses[step])
        return [*best_first, *(step for step in reversed(steps) if step not in losses)]

    def close(self) -> None:
        """Ends orbax's threads."""
        with quiet_orbax():
            self._manager.close()

    def _try_to_read(self, step: int, item: str, args: Any) -> Any | None:
        try:
            with quiet_orbax():
                return self._manager.restore(step, args=ocp.args.Composite(**{item: args}))[item]
        except Exception:  # orbax and tensorstore have no common kind for damage
            if step not in self._damaged:
                self._damaged.add(step)
                # Without orbax's reason: it names one of many reads, each time another.
                warn(f"checkpoint {step} of {self._manager.directory} is damaged and passed over")
            return None

    def _unwritable(self, step: int, reason: str) -> UserError:
        return UserError(f"checkpoint {step} cannot be written to {self._manager.directory}: "
                         f"{reason}; make room, then the same command goes on where it stopped")


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
    """Shapes by path, such as ['bijector']['blocks_0']['scale']."""
    return {jax.tree_util.keystr(path): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _refusal(error: Exception) -> str | None:
    """The operating system's reason for refusing to write, or None for another error."""
    if isinstance(error, OSError):
        return error.strerror
    # Tensorstore puts the reason at the end of a long message.
    refused = re.search(r": ([^:]*) \[os_error_code", str(error))
    return None if refused is None else refused[1]
