"""Checkpoints of a run, by orbax: the state, and beside it in JSON what it takes to rebuild it."""

import logging
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from flowaa.errors import UserError

_LOG = logging.getLogger(__name__)
_SELECTION = "validation_bits_per_dim"
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
        self._selections: dict[int, float] = {}
        self._told_of: set[int] = set()  # damaged steps
        self._manager = ocp.CheckpointManager(
            folder.resolve(),
            options=ocp.CheckpointManagerOptions(
                create=not read_only,
                read_only=read_only,
                enable_async_checkpointing=False,
                preservation_policy=policy.AnyPreservationPolicy(
                    [policy.LatestN(keep), _Best(self._selections)]
                ),
            ),
            item_names=("state", "run"),
        )
        for step in self.steps():
            figure = (self.try_run_of(step) or {}).get(_SELECTION)
            if figure is not None:
                self._selections[step] = figure

    def save(
        self, step: int, state: Any, run: dict[str, Any], selection: float | None = None
    ) -> None:
        """Saves a step; one that is there already was passed over as damaged and is replaced.

        Args:
            step: steps taken.
            state: a pytree of arrays.
            run: what it takes to rebuild the state's meaning, as JSON.
            selection: the figure on validation by which the best is chosen, smaller is better; one
                that is not finite chooses nothing.

        Raises:
            UserError: the disk is full or cannot be written.
        """
        if step in self.steps():
            self._manager.delete(step)
        self._selections.pop(step, None)
        if selection is not None and math.isfinite(selection):
            self._selections[step] = selection
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            run=ocp.args.JsonSave({**run, _SELECTION: self._selections.get(step)}),
        )
        # Found out before, since of a write that fails orbax's threads leave tracebacks.
        n_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _MARGIN_BYTES
        if shutil.disk_usage(self._manager.directory).free < n_bytes:
            raise self._unwritable(step, f"it needs {n_bytes / 2**20:.0f} MiB of free space")
        try:
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

    def restore_newest(self, like: Any) -> tuple[int, Any] | None:
        """The newest whole state, or None where nothing was saved yet.

        Args:
            like: a pytree of arrays or shapes that the state must match.

        Raises:
            UserError: there are checkpoints, and none can be read.
        """
        steps = self.steps()
        for step in reversed(steps):
            state = self.try_restore(step, like)
            if state is not None:
                return step, state
        if steps:
            raise UserError(f"no checkpoint in {self._manager.directory} can be read; remove the "
                            "run's folder or give another")
        return None

    def try_restore(self, step: int, like: Any) -> Any | None:
        """The state at `step`, or None, with a warning, where it cannot be read."""
        try:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
            )
            return restored["state"]
        except Exception as error:  # orbax and tensorstore have no common kind for damage
            self._warn_of_damage(step, error)
            return None

    def try_run_of(self, step: int) -> dict[str, Any] | None:
        """What `save` was given as `run`, or None, with a warning, where it cannot be read."""
        try:
            args = ocp.args.Composite(run=ocp.args.JsonRestore())
            return self._manager.restore(step, args=args)["run"]
        except Exception as error:  # likewise
            self._warn_of_damage(step, error)
            return None

    def selections(self) -> dict[int, float]:
        """The figure on validation of each step that has one."""
        return {step: self._selections[step] for step in self.steps() if step in self._selections}

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
        selections = self.selections()
        by_selection = sorted(selections, key=lambda step: selections[step])
        return [*by_selection, *(step for step in reversed(steps) if step not in selections)]

    def close(self) -> None:
        """Ends orbax's threads."""
        self._manager.close()

    def _unwritable(self, step: int, reason: str) -> UserError:
        return UserError(f"checkpoint {step} cannot be written to {self._manager.directory}: "
                         f"{reason}; make room, then the same command goes on where it stopped")

    def _warn_of_damage(self, step: int, error: Exception) -> None:
        if step in self._told_of:
            return
        self._told_of.add(step)
        reason = (str(error).strip().splitlines() or [repr(error)])[0][:120]
        _LOG.warning("checkpoint %d of %s is damaged and passed over: %s",
                     step, self._manager.directory, reason)


def _refusal(error: Exception) -> str | None:
    """What the system said when it refused to write, if that is the error."""
    if isinstance(error, OSError):
        return error.strerror
    # So tensorstore gives it, at the end of a long message.
    refused = re.search(r": ([^:]*) \[os_error_code", str(error))
    return None if refused is None else refused[1]


class _Best:
    """Orbax's preservation policy of the step with the smallest figure, and of no other."""

    def __init__(self, selections: Mapping[int, float]) -> None:
        self._selections = selections

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Whether to keep each checkpoint."""
        del context
        steps = [info.step for info in checkpoints]
        best = min((step for step in steps if step in self._selections),
                   key=lambda step: self._selections[step], default=None)
        return [step == best for step in steps]
