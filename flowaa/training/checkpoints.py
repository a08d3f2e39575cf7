"""Checkpoints of a run, by orbax: the state, and beside it in JSON what it takes to rebuild it."""

import logging
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from flowaa.errors import UserError

_LOG = logging.getLogger(__name__)
_SELECTION = "validation_bits_per_dim"


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
        self._manager = ocp.CheckpointManager(
            folder.resolve(),
            options=ocp.CheckpointManagerOptions(
                create=not read_only,
                read_only=read_only,
                enable_async_checkpointing=False,
                preservation_policy=policy.AnyPreservationPolicy(
                    [
                        policy.LatestN(keep),
                        policy.BestN(
                            get_metric_fn=_selection_metric, reverse=True, n=1,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
            ),
            item_names=("state", "run"),
        )

    def save(
        self, step: int, state: Any, run: dict[str, Any], selection: float | None = None
    ) -> None:
        """Saves a step, unless it is there already.

        Args:
            step: steps taken.
            state: a pytree of arrays.
            run: what it takes to rebuild the state's meaning, as JSON.
            selection: the figure on validation by which the best is chosen, smaller is better.
        """
        if step in self.steps():
            return
        metrics = None if selection is None else {_SELECTION: selection}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), run=ocp.args.JsonSave(run)
            ),
            metrics=metrics,
        )
        self._manager.wait_until_finished()

    def steps(self) -> list[int]:
        """Steps there are, oldest first."""
        return sorted(self._manager.all_steps())

    def restore_newest(self, like: Any) -> tuple[int, Any] | None:
        """The newest whole state, or None where there is none.

        Args:
            like: a pytree of arrays or shapes that the state must match.
        """
        for step in reversed(self.steps()):
            state = self.try_restore(step, like)
            if state is not None:
                return step, state
        return None

    def try_restore(self, step: int, like: Any) -> Any | None:
        """The state at `step`, or None, with a warning, where it cannot be read."""
        try:
            restored = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
            )
            return restored["state"]
        except Exception as error:  # orbax and tensorstore have no common kind for damage
            reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else repr(error)
            _LOG.warning("checkpoint %d of %s is damaged and passed over: %s",
                         step, self._manager.directory, reason)
            return None

    def run_of(self, step: int) -> dict[str, Any]:
        """What `save` was given as `run`."""
        return self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))[
            "run"
        ]

    def selections(self) -> dict[int, float]:
        """The figure on validation of each step that has one."""
        figures = {}
        for step in self.steps():
            metrics = self._manager.metrics(step)
            if metrics and _SELECTION in metrics:
                figures[step] = float(metrics[_SELECTION])
        return figures

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


def _selection_metric(metrics: dict[str, float]) -> float:
    return metrics[_SELECTION]
