"""Batches in a fixed order: drawn on the device where the data fits, streamed where it does not.

Both ways hand out the same rows for the same seed and step, and are used alike:

    batches = open_batches(dataset.train, batch_size=256, ..., devices=devices)
    step_many = jax.pmap(...)  # calls batches.select(constant, batch) once a step
    step_many(state, batches.constant, batches.at(step, n_steps))
    batches.close()

The order is a pure function of seed and step, so that a run continues anywhere with no state saved.
"""

import concurrent.futures
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.data.dataset import Rows, Split
from flowaa.data.seeding import Stream, generator
from flowaa.errors import UserError

_CALLS_AHEAD = 2  # calls whose rows are read while the device works


class Labelled(NamedTuple):
    """Rows, their labels and side information, on the host or on a device."""

    x: Any  # [..., B, H, W, C] uint8, or float32 [..., B, H, W, C] or [..., B, D]
    y: Any | None  # [..., B] int32; None where the data is unlabelled
    side: Any | None = None  # [..., B, K] float32; None where the data has none


class MaskedBatch(NamedTuple):
    """A batch of evaluation; every batch has the same shape."""

    x: np.ndarray  # [B, ...]
    y: np.ndarray | None  # [B]
    mask: np.ndarray  # [B] bool; False marks a filling row, which is not to be counted
    side: np.ndarray | None = None  # [B, K]


class BatchOrder:
    """Which rows each step sees: every epoch a fresh permutation, its incomplete tail dropped."""

    def __init__(self, n_rows: int, batch_size: int, seed: int) -> None:
        if not 1 <= batch_size <= n_rows:
            raise UserError(f"a batch of {batch_size} rows cannot be drawn from {n_rows} training "
                            f"rows; set --config.training.batch_size between 1 and {n_rows}")
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


class Batches(Protocol):
    """A source of training batches for a pmapped call of several steps."""

    order: BatchOrder

    @property
    def constant(self) -> Labelled | None:
        """Arrays passed to every call, leading axis n_devices; None where there are none."""
        ...

    def at(self, step: int, n_steps: int) -> Any:
        """Arrays of one call, leading axes [n_devices, n_steps, batch_per_device]."""
        ...

    def select(self, constant: Any, batch: Any) -> Labelled:
        """Rows of one step on one device, inside the compiled call.

        Args:
            constant: `constant`, without its device axis.
            batch: `at(...)`, without its axes of devices and steps.
        """
        ...

    def close(self) -> None:
        """Stops reading."""
        ...


class ResidentBatches:
    """The whole split lies on each device; a call brings nothing but indices."""

    def __init__(self, split: Split, order: BatchOrder, devices: Sequence[jax.Device]) -> None:
        self.order = order
        self._n_devices = len(devices)
        sharding = device_axis(devices)
        self._constant = jax.tree.map(lambda array: replicate(array, devices, sharding),
                                      Labelled(read_all(split.x), split.y, split.side))

    @property
    def constant(self) -> Labelled:
        """The split: x [n_devices, N, ...], y [n_devices, N], side [n_devices, N, K]."""
        return self._constant

    def at(self, step: int, n_steps: int) -> np.ndarray:
        """Indices [n_devices, n_steps, batch_per_device] int32."""
        return _by_device(self.order.indices_for(step, n_steps), self._n_devices)

    def select(self, constant: Labelled, batch: jax.Array) -> Labelled:
        """Rows at the indices `batch` [batch_per_device]."""
        return gather(constant, batch)

    def close(self) -> None:
        """Nothing is being read."""


class StreamedBatches:
    """Rows are read on the host, ahead of use, by a thread of their own."""

    def __init__(self, split: Split, order: BatchOrder, devices: Sequence[jax.Device]) -> None:
        self.order = order
        self._split = split
        self._n_devices = len(devices)
        self._sharding = device_axis(devices)
        self._reader = concurrent.futures.ThreadPoolExecutor(1, "flowaa-batches")
        self._pending: dict[tuple[int, int], concurrent.futures.Future[Labelled]] = {}

    @property
    def constant(self) -> None:
        """Nothing stays on the device."""
        return None

    def at(self, step: int, n_steps: int) -> Labelled:
        """Rows: x [n_devices, n_steps, batch_per_device, ...], y and side likewise."""
        wanted = [(step + ahead * n_steps, n_steps) for ahead in range(1 + _CALLS_AHEAD)]
        for call in [call for call in self._pending if call not in wanted]:
            self._pending.pop(call).cancel()
        for call in wanted:
            if call not in self._pending:
                self._pending[call] = self._reader.submit(self._read, *call)
        return self._pending.pop(wanted[0]).result()

    def select(self, constant: None, batch: Labelled) -> Labelled:
        """`batch` itself."""
        return batch

    def close(self) -> None:
        """Drops what was read ahead and lets the thread end."""
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()

    def _read(self, step: int, n_steps: int) -> Labelled:
        indices = _by_device(self.order.indices_for(step, n_steps), self._n_devices)
        flat = indices.reshape(-1)
        x = np.asarray(self._split.x[flat])
        batch = Labelled(x.reshape(*indices.shape, *x.shape[1:]),
                         None if self._split.y is None else self._split.y[indices],
                         None if self._split.side is None else self._split.side[indices])
        return jax.device_put(batch, self._sharding)


def batch_order(n_rows: int, *, batch_size: int, seed: int, n_devices: int) -> BatchOrder:
    """The order of batches that are divided over devices.

    Raises:
        UserError: if a batch is larger than the rows, or the devices do not divide it.
    """
    if batch_size % n_devices:
        raise UserError(f"a batch of {batch_size} rows cannot be divided evenly over {n_devices}"
                        " devices; set --config.training.batch_size to a multiple of "
                        f"{n_devices} or --config.training.n_devices to a divisor of it")
    return BatchOrder(n_rows, batch_size, seed)


def open_batches(split: Split, *, batch_size: int, seed: int, device_bytes: int,
                 devices: Sequence[jax.Device]) -> Batches:
    """Opens the training batches of a split.

    Args:
        split: the training split.
        batch_size: rows a step, over all devices.
        seed: the experiment's seed; it fixes the order.
        device_bytes: a split of at most this size is put on each device.
        devices: the devices of the pmapped call, in its order.

    Raises:
        UserError: if the batch is larger than the split, or the devices do not divide it.
    """
    order = batch_order(len(split), batch_size=batch_size, seed=seed, n_devices=len(devices))
    if n_bytes(split.x) <= device_bytes:
        return ResidentBatches(split, order, devices)
    return StreamedBatches(split, order, devices)


def sequential_batches(split: Split, batch_size: int) -> Iterator[MaskedBatch]:
    """Every row once, in order; the last batch is filled up with rows that its mask excludes."""
    n_rows = len(split)
    for start in range(0, n_rows, batch_size):
        # Filling rows repeat a real one: their values are finite, whatever the model.
        indices = np.minimum(np.arange(start, start + batch_size), n_rows - 1)
        yield MaskedBatch(np.asarray(split.x[indices]),
                          None if split.y is None else split.y[indices],
                          np.arange(start, start + batch_size) < n_rows,
                          None if split.side is None else split.side[indices])


def gather(data: Labelled, indices: jax.Array) -> Labelled:
    """Rows of `data` at `indices` [B], as they are stored."""
    # The indices are permutations of the rows: none is out of range.
    return jax.tree.map(lambda array: jnp.take(array, indices, axis=0, mode="clip"), data)


def n_bytes(rows: Rows) -> int:
    """Size of all rows once they are read."""
    return len(rows) * np.asarray(rows[np.arange(1)]).nbytes


def read_all(rows: Rows) -> np.ndarray:
    """All rows as one array in memory."""
    return rows if isinstance(rows, np.ndarray) else np.asarray(rows[np.arange(len(rows))])


def device_axis(devices: Sequence[jax.Device]) -> jax.sharding.Sharding:
    """How pmap lays an argument's first axis over the devices; asked of it: versions differ."""
    probe = jax.pmap(lambda x: x, axis_name="batch", devices=devices)
    return probe(np.zeros((len(devices), 1), np.float32)).sharding


def replicate(array: np.ndarray, devices: Sequence[jax.Device],
              sharding: jax.sharding.Sharding) -> jax.Array:
    """A copy of `array` on each device, with a leading device axis, without a copy on the host."""
    copies = [jax.device_put(array[None], device) for device in devices]
    return jax.make_array_from_single_device_arrays(
        (len(devices), *array.shape), sharding, copies)


def _by_device(indices: np.ndarray, n_devices: int) -> np.ndarray:
    """[n_steps, batch_size] as [n_devices, n_steps, batch_per_device]."""
    n_steps, batch_size = indices.shape
    per_device = indices.reshape(n_steps, n_devices, batch_size // n_devices)
    return np.ascontiguousarray(per_device.swapaxes(0, 1))
