"""Batches: the order's laws, and the same rows whether they lie on the device or stream."""

import threading
import time

import jax
import numpy as np
import pytest

from flowaa.data.batch_order import BatchOrder
from flowaa.data.batches import (
    ResidentBatches,
    StreamedBatches,
    open_batches,
    sequential_batches,
)
from flowaa.data.dataset import Split
from flowaa.errors import UserError

N_DEVICES = 2
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
LABELS = np.arange(50, dtype=np.int32)  # the row itself
CONTEXT = np.random.default_rng(2).standard_normal((50, 2)).astype(np.float32)
SIDE = np.random.default_rng(1).dirichlet([1.0] * 3, 50).astype(np.float32)


@pytest.fixture(scope="module")
def devices():
    found = jax.local_devices()[:N_DEVICES]
    assert len(found) == N_DEVICES  # tests/data/conftest.py asks for them
    return found


def test_an_epoch_has_every_row_once_and_drops_the_tail():
    order = BatchOrder(50, 8, seed=0)
    assert order.steps_per_epoch == 6
    for epoch in range(3):
        rows = order.indices_for(6 * epoch, 6)
        assert rows.shape == (6, 8)
        assert rows.dtype == np.int32
        assert len(set(rows.ravel())) == 48
    # The dropped rows differ between epochs, so none is lost for good.
    assert set(np.concatenate([order.indices_for(6 * e, 6) for e in range(9)]).ravel()) == set(
        range(50))


def test_the_order_is_a_pure_function_of_seed_and_step():
    order, again = BatchOrder(50, 8, seed=0), BatchOrder(50, 8, seed=0)
    in_turn = np.stack([order.indices(step) for step in range(40)])
    np.testing.assert_array_equal(again.indices_for(17, 23), in_turn[17:])  # across epochs
    np.testing.assert_array_equal(again.indices_for(0, 3), in_turn[:3])  # and back
    assert not np.array_equal(BatchOrder(50, 8, seed=1).indices_for(0, 6), in_turn[:6])
    assert not np.array_equal(in_turn[:6], in_turn[6:12])


def test_no_row_is_favoured():
    n_epochs, counts = 2000, np.zeros(10)
    order = BatchOrder(10, 4, seed=0)
    for epoch in range(n_epochs):
        counts[order.indices(2 * epoch)] += 1
    # Five standard deviations of a binomial count with p = 0.4.
    assert np.abs(counts - 0.4 * n_epochs).max() < 5 * np.sqrt(n_epochs * 0.4 * 0.6)


@pytest.mark.parametrize(
    ("labels", "side", "context"),
    [(LABELS, SIDE, None), (LABELS, None, CONTEXT), (None, None, None), (None, None, CONTEXT)],
    ids=["side information", "labels and context", "unlabelled", "context"])
@pytest.mark.parametrize("device_bytes", [2**30, 0], ids=["resident", "streamed"])
def test_a_compiled_call_sees_the_rows_of_the_order(devices, device_bytes, labels, side, context):
    split = Split(IMAGES, labels, side=side, context=context)
    batches = open_batches(split, batch_size=8, seed=3, device_bytes=device_bytes, devices=devices)
    assert isinstance(batches, ResidentBatches if device_bytes else StreamedBatches)

    def call(constant, per_step):
        return jax.lax.map(lambda batch: batches.select(constant, batch), per_step)

    compiled = jax.pmap(call, axis_name="batch", devices=devices)
    order = BatchOrder(50, 8, seed=3)
    for step in (0, 3, 6, 2, 9):  # in turn, across an epoch's end, back, and ahead
        seen = compiled(batches.constant, batches.at(step, 3))
        assert seen.x.dtype == np.uint8
        # Device d takes the d-th part of each batch.
        rows = order.indices_for(step, 3).reshape(3, N_DEVICES, 4).swapaxes(0, 1)
        np.testing.assert_array_equal(seen.x, IMAGES[rows])
        if labels is None:
            assert seen.y is None
        else:
            np.testing.assert_array_equal(seen.y, rows)
        for columns, expected in ((seen.side, side), (seen.context, context)):
            if expected is None:
                assert columns is None
            else:
                assert columns.dtype == np.float32
                np.testing.assert_array_equal(columns, expected[rows])
    batches.close()


def test_a_call_that_ends_early_gets_its_own_rows(devices):
    batches = open_batches(Split(IMAGES, LABELS), batch_size=8, seed=3, device_bytes=0,
                           devices=devices)
    order = BatchOrder(50, 8, seed=3)
    for step, n_steps in ((0, 4), (4, 4), (8, 2), (10, 1)):
        seen = np.asarray(batches.at(step, n_steps).y).swapaxes(0, 1).reshape(n_steps, 8)
        np.testing.assert_array_equal(seen, order.indices_for(step, n_steps))
    batches.close()


class WatchedRows:
    """Rows that remember which threads read them, and can be told to fail."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.failure: Exception | None = None

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        if self.failure:
            raise self.failure
        if len(indices) > 1:  # one row is asked for its size alone
            self.reads.append(threading.current_thread().name)
        return IMAGES[indices]


def wait_for(condition) -> bool:
    deadline = time.monotonic() + 10.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_streaming_reads_two_calls_ahead_in_its_own_thread_until_closed(devices):
    rows = WatchedRows()
    batches = open_batches(Split(rows), batch_size=8, seed=0, device_bytes=0, devices=devices)
    batches.at(0, 1)
    assert wait_for(lambda: len(rows.reads) == 3)
    batches.at(1, 1)
    assert wait_for(lambda: len(rows.reads) == 4)  # one more: the others were there
    batches.at(2, 1)
    batches.close()
    assert {name.split("_")[0] for name in rows.reads} == {"flowaa-batches"}
    assert not any(thread.name.startswith("flowaa-batches") for thread in threading.enumerate())


def test_a_failure_to_read_reaches_the_caller(devices):
    rows = WatchedRows()
    batches = open_batches(Split(rows), batch_size=8, seed=0, device_bytes=0, devices=devices)
    rows.failure = UserError("the disk went away")
    with pytest.raises(UserError, match="the disk went away"):
        batches.at(0, 1)
    batches.close()


def test_the_device_holds_one_copy_of_the_split_as_it_is(devices):
    batches = open_batches(Split(IMAGES, LABELS), batch_size=8, seed=0, device_bytes=IMAGES.nbytes,
                           devices=devices)
    assert isinstance(batches, ResidentBatches)
    assert batches.constant.x.dtype == np.uint8
    for shard, device in zip(batches.constant.x.addressable_shards, devices, strict=True):
        assert shard.device == device
        np.testing.assert_array_equal(np.asarray(shard.data)[0], IMAGES)
    batches.close()


@pytest.mark.parametrize(("batch_size", "message"), [
    (52, "between 1 and 50"), (0, "between 1 and 50"), (7, "divided evenly over 2 devices")])
def test_an_impossible_batch_ends_in_one_line(devices, batch_size, message):
    with pytest.raises(UserError, match=message) as error:
        open_batches(Split(IMAGES), batch_size=batch_size, seed=0, device_bytes=0, devices=devices)
    assert "config.training.batch_size" in str(error.value)


@pytest.mark.parametrize("n_rows", [1, 16, 17, 50])
def test_evaluation_counts_every_row_once_in_batches_of_one_shape(n_rows):
    split = Split(IMAGES[:n_rows], LABELS[:n_rows], side=SIDE[:n_rows], context=CONTEXT[:n_rows])
    batches = list(sequential_batches(split, 16))
    for batch in batches:
        assert (batch.x.shape, batch.y.shape, batch.mask.shape) == ((16, 4, 4, 1), (16,), (16,))
    np.testing.assert_array_equal(np.concatenate([b.y[b.mask] for b in batches]), range(n_rows))
    np.testing.assert_array_equal(np.concatenate([b.x[b.mask] for b in batches]), IMAGES[:n_rows])
    np.testing.assert_array_equal(np.concatenate([b.side[b.mask] for b in batches]), SIDE[:n_rows])
    context = np.concatenate([b.context[b.mask] for b in batches])
    np.testing.assert_array_equal(context, CONTEXT[:n_rows])
    assert len(batches) == -(-n_rows // 16)
