"""Batches in a fixed order: drawn on the device where the data fits, streamed where it does not.

Both ways hand out the same rows for the same seed and step, and are used alike:

    batches = open_batches(dataset.train, batch_size=256, ..., devices=devices)
    step_many = jax.pmap(...)  # calls batches.select(constant, batch) once a step
    step_many(state, batches.constant, batches.at(step, n_steps))
    batches.close()

The devices are those of all processes, in the order of their shares of a batch; arrays here have an
axis n_devices of this process's devices, and of a batch no rows but theirs.
"""

import concurrent.futures
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.data.batch_order import BatchOrder, batch_order
from flowaa.data.dataset import Split
from flowaa.data.rows import n_bytes, read_all

_CALLS_AHEAD = 2  # calls whose rows are read while the device works


class Labelled(NamedTuple):
    """Rows, their labels and side information, on the host or on a device."""

    x: Any  # [..., B, H, W, C] uint8, or float32 [..., B, H, W, C] or [..., B, D]
    y: Any | None  # [..., B] int32; None where the data is unlabelled
    side: Any | None = None  # [..., B, K] float32; None where the data has none
    context: Any | None = None  # [..., B, E] float32 conditions; None where the data has none


class MaskedBatch(NamedTuple):
    """A batch of evaluation, on the host or on a device; every batch has the same shape."""

    x: Any  # [B, ...]
    y: Any | None  # [B]
    mask: Any  # [B] bool; False marks a filling row, which is not to be counted
    example_ids: Any  # [B] int32 places in the split, beyond its end for filling rows
    side: Any | None = None  # [B, K]
    context: Any | None = None  # [B, E]


class ResidentBatches:
    """The whole split lies on each device; a call brings nothing but indices."""

    def __init__(self, split: Split, order: BatchOrder, devices: Sequence[jax.Device]) -> None:
        self.order = order
        self._devices = devices
        sharding = device_axis(devices)
        rows = Labelled(read_all(split.x), split.y, split.side, split.context)
        self._constant = jax.tree.map(lambda array: replicate(array, devices, sharding), rows)

    @property
    def constant(self) -> Labelled:
        """The split: x [n_devices, N, ...], y [n_devices, N], side and context likewise."""
        return self._constant

    def at(self, step: int, n_steps: int) -> np.ndarray:
        """Indices [n_devices, n_steps, batch_per_device] int32."""
        return _by_device(self.order.indices_for(step, n_steps), self._devices)

    def select(self, constant: Labelled, batch: jax.Array) -> Labelled:
        """Rows of one step on one device, inside the compiled call.

        Args:
            constant: `constant`, without its device axis.
            batch: indices [batch_per_device]: `at(...)`, without its axes of devices and steps.
        """
        return gather(constant, batch)

    def close(self) -> None:
        """Nothing is being read."""


class StreamedBatches:
    """Rows are read on the host, ahead of use, by a thread of their own."""

    def __init__(self, split: Split, order: BatchOrder, devices: Sequence[jax.Device]) -> None:
        self.order = order
        self._split = split
        self._devices = devices
        self._sharding = device_axis(devices)
        self._reader = concurrent.futures.ThreadPoolExecutor(1, "flowaa-batches")
        self._pending: dict[tuple[int, int], concurrent.futures.Future[Labelled]] = {}

    @property
    def constant(self) -> None:
        """Nothing stays on the device."""
        return None

    def at(self, step: int, n_steps: int) -> Labelled:
        """Rows: x [n_devices, n_steps, batch_per_device, ...], y, side and context likewise."""
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
        indices = _by_device(self.order.indices_for(step, n_steps), self._devices)
        rows = read_rows(self._split, indices.reshape(-1))
        batch = jax.tree.map(lambda array: array.reshape(*indices.shape, *array.shape[1:]), rows)
        return jax.device_put(batch, self._sharding)


Batches = ResidentBatches | StreamedBatches


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


def sequential_batches(
    split: Split, batch_size: int, share: slice = slice(None)
) -> Iterator[MaskedBatch]:
    """Every row once, in order; the last batch is filled up with rows that its mask excludes.

    Args:
        split: whose rows are read.
        batch_size: rows of a batch.
        share: of each batch, the rows that are read.
    """
    n_rows = len(split)
    for start in range(0, n_rows, batch_size):
        # Filling rows repeat a real one: their values are finite, whatever the model.
        ids = np.arange(start, start + batch_size, dtype=np.int32)[share]
        rows = read_rows(split, np.minimum(ids, n_rows - 1))
        yield MaskedBatch(rows.x, rows.y, ids < n_rows, ids, rows.side, rows.context)


def read_rows(split: Split, indices: np.ndarray) -> Labelled:
    """Rows of a split at `indices` [B], with what belongs to them, on the host."""
    columns = (None if column is None else column[indices]
               for column in (split.y, split.side, split.context))
    return Labelled(np.asarray(split.x[indices]), *columns)


def gather(data: Labelled, indices: jax.Array) -> Labelled:
    """Rows of `data` at `indices` [B], as they are stored."""
    # The indices are permutations of the rows: none is out of range.
    return jax.tree.map(lambda array: jnp.take(array, indices, axis=0, mode="clip"), data)


def local_places(devices: Sequence[jax.Device]) -> list[int]:
    """Which of the devices are this process's."""
    return [place for place, device in enumerate(devices)
            if device.process_index == jax.process_index()]


def device_axis(devices: Sequence[jax.Device]) -> jax.sharding.Sharding:
    """How pmap lays an argument's first axis over the devices; asked of it: versions differ."""
    probe = jax.pmap(lambda x: x, axis_name="batch", devices=devices)
    return probe(np.zeros((len(local_places(devices)), 1), np.float32)).sharding


def replicate(array: np.ndarray, devices: Sequence[jax.Device],
              sharding: jax.sharding.Sharding) -> jax.Array:
    """A copy of `array` on each device, with a leading device axis, without a copy on the host."""
    copies = [jax.device_put(array[None], devices[place]) for place in local_places(devices)]
    return jax.make_array_from_single_device_arrays(
        (len(copies), *array.shape), sharding, copies)


def _by_device(indices: np.ndarray, devices: Sequence[jax.Device]) -> np.ndarray:
    """[n_steps, batch_size] as [n_devices, n_steps, batch_per_device]."""
    n_steps, batch_size = indices.shape
    per_device = indices.reshape(n_steps, len(devices), batch_size // len(devices))
    return np.ascontiguousarray(per_device[:, local_places(devices)].swapaxes(0, 1))
