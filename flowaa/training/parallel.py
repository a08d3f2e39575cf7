"""Compilation over devices, in one place: steps and evaluation are mapped over the axis `batch`.

The functions mapped here know their devices by the axis alone, so that moving from `jax.pmap` to
`jax.shard_map` changes this file only.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.data import batches as pipeline
from flowaa.data.batches import Batches, Labelled, MaskedBatch
from flowaa.errors import UserError
from flowaa.training.state import TrainState
from flowaa.training.step import AXIS, Metrics

# Of the metrics of a call that was given wishes: the largest, over all devices; see `hosts/wishes`.
WISH = "wish"

# Named values per example [B] of (params, a device's share of a batch, key).
Values = Callable[[Any, MaskedBatch, jax.Array], Metrics]
Step = Callable[[TrainState, Labelled, jax.Array], tuple[TrainState, Metrics]]


class TrainCall:
    """A program that a thread compiles; the first call waits for it."""

    def __init__(self, compiled: Future[Callable[..., tuple[TrainState, Metrics]]]) -> None:
        self._compiled = compiled

    def wait(self) -> None:
        """Returns once it is compiled."""
        self._compiled.result()

    def __call__(
        self, state: TrainState, constant: Any, batch: Any, key: jax.Array,
        wish: np.ndarray | None = None,
    ) -> tuple[TrainState, Metrics]:
        """The state after the call, and the metrics' means over its steps, [n_devices].

        With wishes [n_devices] int32, as many hosts have them, the metrics have `WISH` besides.
        """
        return self._compiled.result()(state, constant, batch, key, wish)


def compile_training(
    step: Step, batches: Batches, devices: Sequence[jax.Device], *, state: TrainState,
    key: jax.Array, n_steps: int,
) -> TrainCall:
    """Compiles calls of some steps, each over all devices, in a thread: the first call waits.

    Args:
        step: a step on one device's share of a batch, under `AXIS`.
        batches: whose rows are selected within the call.
        devices: of all hosts, on which the calls run.
        state: arrays or shapes of a state on one device.
        key: the run's key.
        n_steps: steps of a call.

    Returns:
        A function of the replicated state, `batches.constant`, `batches.at(...)` and the run's key,
        which gives the state after the call and the metrics' means over its steps, [n_devices];
        n_devices are this host's. With many hosts it is compiled at the first call.
    """

    def take_steps(
        state: TrainState, constant: Any, batch: Any, key: jax.Array, wish: jax.Array | None
    ) -> tuple[TrainState, Metrics]:
        state, metrics = all_steps(state, constant, batch, key)
        if wish is not None:
            metrics[WISH] = jax.lax.pmax(wish, AXIS)
        return state, metrics

    def all_steps(
        state: TrainState, constant: Any, batch: Any, key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        def one_step(state: TrainState, rows: Any) -> tuple[TrainState, Metrics]:
            return step(state, batches.select(constant, rows), key)

        if n_steps == 1:  # no loop: XLA:CPU runs convolutions ten times slower inside one
            return one_step(state, jax.tree.map(lambda rows: rows[0], batch))
        state, metrics = jax.lax.scan(one_step, state, batch)
        return state, jax.tree.map(jnp.mean, metrics)

    mapped = jax.pmap(
        take_steps, axis_name=AXIS, devices=devices, in_axes=(0, 0, 0, None, 0), donate_argnums=0
    )
    if jax.process_count() > 1:  # what is compiled ahead takes no arrays of one host alone
        ready: Future[Callable[..., tuple[TrainState, Metrics]]] = Future()
        ready.set_result(mapped)
        return TrainCall(ready)
    replicated = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((len(devices), *leaf.shape), leaf.dtype), state)
    batch = batches.at(0, n_steps)
    thread = ThreadPoolExecutor(1, "flowaa-compile")
    compiled = thread.submit(
        lambda: mapped.lower(replicated, batches.constant, batch, key, None).compile())
    thread.shutdown(wait=False)
    return TrainCall(compiled)


def compile_evaluation(
    values: Values, devices: Sequence[jax.Device]
) -> Callable[..., Metrics]:
    """Compiles sums over masked batches.

    Args:
        values: of a device's share of a batch.
        devices: of all hosts, on which the calls run.

    Returns:
        A function of replicated params, a batch (leading axis n_devices) and a key, which gives the
        sums of the values over unmasked examples of the global batch, [n_devices]; n_devices are
        this host's.
    """

    def sums(params: Any, batch: MaskedBatch, key: jax.Array) -> Metrics:
        named = values(params, batch, key)
        totals = {name: jnp.where(batch.mask, value, 0.0).sum() for name, value in named.items()}
        return jax.lax.psum(totals, AXIS)

    return jax.pmap(sums, axis_name=AXIS, devices=devices, in_axes=(0, 0, None))


def compile_once(function: Callable[..., Any]) -> Any:
    """Compiles, in little time, a program that runs once on one device, such as initialisation.

    Random numbers of forty shapes take XLA:CPU ten seconds to optimise and none to draw.
    """
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=options)


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """A copy of every array on each of this host's devices, with a leading device axis."""
    sharding = pipeline.device_axis(devices)
    return jax.tree.map(
        lambda leaf: pipeline.replicate(np.asarray(leaf), devices, sharding), tree
    )


def unreplicate(tree: Any) -> Any:
    """The copy of every array on this host's first device, on the host."""
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data[0]), tree)


def shard(batch: MaskedBatch, n_devices: int) -> MaskedBatch:
    """Arrays [B, ...] as [n_devices, B / n_devices, ...]."""
    return jax.tree.map(lambda array: array.reshape(n_devices, -1, *array.shape[1:]), batch)


def choose_devices(n_devices: int) -> list[jax.Device]:
    """The first `n_devices`, as many of each host, or all for 0; in the order of the hosts.

    Raises:
        UserError: there are fewer, or hosts do not have equally many.
    """
    by_host = [jax.local_devices(process_index=host) for host in range(jax.process_count())]
    counts, n_hosts = [len(devices) for devices in by_host], len(by_host)
    if n_devices > sum(counts):
        where = "this machine has" if n_hosts == 1 else f"all {n_hosts} processes have"
        raise UserError(f"training.n_devices is {n_devices}, but {where} {sum(counts)}; "
                        "set it to 0 to use all")
    if n_devices % n_hosts:
        raise UserError(f"training.n_devices is {n_devices}; set it to 0 to use all, or to a "
                        f"multiple of the {n_hosts} processes")
    n_each = n_devices // n_hosts or max(counts)
    if n_each > min(counts):
        raise UserError(f"the processes have {', '.join(map(str, counts))} devices; give them "
                        "equally many, or set training.n_devices to as many as each has")
    return [device for devices in by_host for device in devices[:n_each]]
