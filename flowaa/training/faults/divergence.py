"""Tells of skipped steps and of the rows that made them, and ends a training that diverged."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from flowaa.data.batch_order import BatchOrder
from flowaa.data.dataset import Dataset
from flowaa.errors import UserError, warn
from flowaa.training.files.finite import first_not_finite
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.state import TrainState

_FAR = 1e3  # standard deviations from the mean at which a row is named
_N_NAMED = 5  # rows in a message


def warn_of_skipped(dataset: Dataset, order: BatchOrder, steps: Sequence[int]) -> None:
    """Says that steps were skipped, and which training rows are to blame.

    Args:
        dataset: what is trained on.
        order: of its batches.
        steps: counted from 0; among them are all that were skipped.
    """
    rows = np.unique(np.concatenate([order.indices(step) for step in steps]))
    x = np.asarray(dataset.train.x[rows], np.float64)
    mean, std = np.asarray(dataset.spec.mean or 0.0), np.asarray(dataset.spec.std or 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        is_bad = ~(np.abs(x - mean) < _FAR * std)  # NaN is
    named = [f"{row} ({values[bad][0]:g})" for row, values, bad in zip(rows, x, is_bad, strict=True)
             if bad.any()]
    reason = "no row of their batches is far from the others"
    if named:
        reason = (f"see training row{'s'[:len(named) > 1]} {', '.join(named[:_N_NAMED])}"
                  f"{', …'[:3 * (len(named) > _N_NAMED)]}")
    warn(f"steps were skipped up to step {steps[-1] + 1}, as their gradients were not finite or "
         f"larger than config.optimizer.skip_norm; {reason}")


def check_sound(
    row: Mapping[str, float], n_in_a_row: int, max_in_a_row: int, folder: RunFolder, step: int
) -> None:
    """Ends a training that has diverged.

    Args:
        row: of the metrics.
        n_in_a_row: steps skipped in a row up to this one.
        max_in_a_row: as many end training.
        folder: is marked, so that a corrected command may take it.
        step: steps taken.

    Raises:
        UserError: training figures are not finite, or too many steps in a row were skipped, or some
            were and validation is not finite.
    """
    broken = [name for name, value in row.items() if not np.isfinite(value)
              and (n_in_a_row or name.startswith("train/"))]
    if n_in_a_row >= max_in_a_row:
        end_diverged(f"the gradient, for {n_in_a_row} steps in a row,", folder, step)
    if broken:
        end_diverged(broken[0], folder, step)


def check_finite(state: TrainState, folder: RunFolder, step: int) -> None:
    """Ends a training whose state is not finite, before it is saved.

    Raises:
        UserError: it is not.
    """
    if broken := first_not_finite(state):
        end_diverged(f"the state ({broken})", folder, step)


def end_diverged(what: str, folder: RunFolder, step: int) -> NoReturn:
    """Marks the folder and raises a `UserError`."""
    folder.mark_diverged(step)
    raise UserError(
        f"{what} is no longer finite at step {step}; lower optimizer.learning_rate or "
        "optimizer.clip_norm, or the flow's clamp; the last checkpoint stays as it is")
