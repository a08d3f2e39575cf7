"""Which rows each training step sees: a pure function of the seed and the step.

A run therefore continues from any step without saved state.
"""

import numpy as np

from flowaa.data.seeding import Stream, generator
from flowaa.errors import UserError, warn


class BatchOrder:
    """Which rows each step sees: every epoch a fresh permutation, its incomplete tail dropped."""

    def __init__(self, n_rows: int, batch_size: int, seed: int) -> None:
        self.batch_size = batch_size
        self.steps_per_epoch = n_rows // batch_size
        self._n_rows = n_rows
        self._seed = seed
        self._last: tuple[int, np.ndarray] = (-1, np.empty(0, np.int32))  # epoch, its permutation

    def indices(self, step: int) -> np.ndarray:
        """Rows of one step, counted from 0: [batch_size] int32."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        start = batch * self.batch_size
        return self._permutation(epoch)[start:start + self.batch_size]

    def indices_for(self, step: int, n_steps: int) -> np.ndarray:
        """Rows of `n_steps` steps from `step` on: [n_steps, batch_size] int32."""
        return np.stack([self.indices(step + ahead) for ahead in range(n_steps)])

    def _permutation(self, epoch: int) -> np.ndarray:
        last_epoch, permutation = self._last
        if last_epoch != epoch:
            random = generator(self._seed, Stream.BATCHES, epoch)
            permutation = random.permutation(self._n_rows).astype(np.int32)
            self._last = (epoch, permutation)
        return permutation


def batch_order(
    n_rows: int, *, batch_size: int, seed: int, n_devices: int,
    key: str = "config.training.batch_size",
) -> BatchOrder:
    """The order of batches that are divided over devices.

    Args:
        n_rows: training rows.
        batch_size: rows a step, over all devices.
        seed: governs the permutations.
        n_devices: devices that share a batch.
        key: that sets the batch size, named in errors.

    Raises:
        UserError: if a batch is larger than the rows, or the devices do not divide it.
    """
    if batch_size % n_devices:
        raise UserError(f"a batch of {batch_size} rows cannot be divided evenly over {n_devices}"
                        f" devices; set {key} to a multiple of {n_devices}, or train the run with "
                        "config.training.n_devices a divisor of it")
    if not 1 <= batch_size <= n_rows:
        raise UserError(f"a batch of {batch_size} rows cannot be drawn from {n_rows} training "
                        f"rows; set {key} between 1 and {n_rows}")
    return BatchOrder(n_rows, batch_size, seed)


def fitting_batch_size(batch_size: int, *, n_rows: int, n_devices: int) -> int:
    """The batch size, or with a warning the largest that the training rows and devices allow."""
    if batch_size <= n_rows or n_rows < n_devices:
        return batch_size
    fitting = n_rows // n_devices * n_devices
    warn(f"a batch of {batch_size} rows is larger than the {n_rows} training rows: each step takes "
         f"{fitting}")
    return fitting
