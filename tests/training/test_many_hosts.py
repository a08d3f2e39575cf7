"""What hosts read and agree on, without starting any: their devices are made up."""

import dataclasses

import jax
import numpy as np
import pytest

from flowaa.data import batches
from flowaa.data.batches import sequential_batches
from flowaa.data.dataset import Split
from flowaa.errors import HostLost, UserError
from flowaa.training import parallel
from flowaa.training.hosts.agreement import main_first, on_main, tell
from flowaa.training.hosts.joining import telling_of_lost_hosts
from flowaa.training.hosts.wishes import Wishes

N_HOSTS = 2


@dataclasses.dataclass(frozen=True)
class Device:
    process_index: int
    id: int


DEVICES = [Device(host, index) for host in range(N_HOSTS) for index in range(2)]


def be_host(monkeypatch: pytest.MonkeyPatch, host: int, counts: tuple[int, ...] = (2, 2)) -> None:
    monkeypatch.setattr(jax, "process_index", lambda: host)
    monkeypatch.setattr(jax, "process_count", lambda: len(counts))
    monkeypatch.setattr(jax, "local_devices", lambda process_index: [
        Device(process_index, index) for index in range(counts[process_index])])


def test_hosts_read_the_rows_of_their_devices(monkeypatch):
    """Side by side, the shares of two hosts are a batch in its order."""
    order = np.arange(2 * 8).reshape(2, 8)  # two steps of eight rows
    shares = []
    for host in range(N_HOSTS):
        be_host(monkeypatch, host)
        shares.append(batches._by_device(order, DEVICES))
        assert shares[-1].shape == (2, 2, 2)
    np.testing.assert_array_equal(
        np.concatenate(shares).swapaxes(0, 1).reshape(2, 8), order)


def test_shares_of_an_evaluation_are_disjoint():
    split = Split(np.arange(10, dtype=np.float32)[:, None])
    whole = list(sequential_batches(split, 4))
    halves = [list(sequential_batches(split, 4, share)) for share in (slice(0, 2), slice(2, 4))]
    for batch, first, second in zip(whole, *halves, strict=True):
        for name in ("x", "mask", "example_ids"):
            np.testing.assert_array_equal(
                np.concatenate([getattr(first, name), getattr(second, name)]),
                getattr(batch, name))


def test_devices_are_those_of_all_hosts_in_their_order(monkeypatch):
    be_host(monkeypatch, 1)
    assert parallel.choose_devices(0) == DEVICES
    assert parallel.choose_devices(2) == [Device(0, 0), Device(1, 0)]


@pytest.mark.parametrize(("counts", "n_devices", "words"), [
    ((2, 2), 3, "a multiple of the 2 processes"), ((2, 2), 5, "all 2 processes have 4"),
    ((4, 2), 0, "the processes have 4, 2 devices"), ((3, 1), 4, "the processes have 3, 1 devices")])
def test_devices_that_cannot_be_shared_are_refused(counts, n_devices, words, monkeypatch):
    be_host(monkeypatch, 0, counts)
    with pytest.raises(UserError, match=words):
        parallel.choose_devices(n_devices)


def heard(wishes: Wishes, wish: int) -> tuple[bool, int]:
    """What is done after a call in which the largest wish was this one."""
    metrics = {"nll": 0.0, parallel.WISH: parallel.replicate(np.int32(wish), jax.devices()[:1])}
    wishes.hear(metrics)
    assert set(metrics) == {"nll"}
    return wishes.time_is_up(), wishes.signal()


def test_a_wish_is_granted_two_calls_later_on_all_hosts():
    signals: list[int] = []
    theirs, ours = Wishes([], lambda: False), Wishes(signals, lambda: False)
    assert heard(ours, 0) == heard(theirs, 0) == (False, 0)
    signals.append(15)  # which this host must not act on before the others can
    for _ in range(2):
        assert heard(ours, ours.own()) == heard(theirs, ours.own()) == (False, 0)
    assert heard(ours, ours.own()) == heard(theirs, ours.own()) == (False, 15)


def test_the_clock_outweighs_a_signal():
    wishes = Wishes([15], lambda: True)
    largest = max(wishes.own(), Wishes([15], lambda: False).own())
    for _ in range(3):
        done = heard(wishes, largest)
    assert done == (True, 0)


def test_one_host_acts_on_its_own_wish_at_once():
    signals: list[int] = []
    wishes = Wishes(signals, lambda: False)
    wishes.hear({"nll": 0.0})
    assert wishes.signal() == 0
    signals += [2, 15]
    assert wishes.signal() == wishes.own() == 2  # the first that came


def test_one_host_is_the_main_one():
    assert on_main(lambda: 3) == tell(3) == main_first(lambda: 3) == 3
    with pytest.raises(UserError, match="no"), telling_of_lost_hosts():
        on_main(raise_no)


def raise_no() -> None:
    raise UserError("no")


def test_a_collective_that_fails_is_a_lost_host(monkeypatch):
    def fail(error: Exception) -> None:
        with telling_of_lost_hosts():
            raise error

    reason = "UNKNOWN: Gloo all-reduce failed: connection reset\nmore"
    failures = jax.errors.JaxRuntimeError(reason), ValueError(reason)  # JAX raises both
    for error in failures:
        with pytest.raises(type(error), match="UNKNOWN"):  # of one host, something else
            fail(error)
    be_host(monkeypatch, 0)
    for error in failures:
        with pytest.raises(HostLost, match=r"goes on from the last checkpoint \(UNKNOWN: Gloo"):
            fail(error)
    for error in (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"),
                  ValueError("no"), UserError("INTERNAL: no")):
        with pytest.raises(type(error)):
            fail(error)
