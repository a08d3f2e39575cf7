"""How hosts meet before they train, and what is said when they cannot, or when one is lost."""

import contextlib
import ctypes
import errno
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from flowaa.errors import HostLost, UserError

_SILENCE_S = 60  # after which a host that does not answer is lost
_LEAVING_S = 5  # that hosts which end with an error wait for the others
_ARGUMENTS = ("coordinator_address", "num_processes", "process_id")
# The code of an error in XLA, but those that have nothing to do with other hosts.
_FAILED = re.compile("(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED): ")
_LOST = ("another process of this training was lost or cannot be reached, or this one failed in "
         "XLA; start all of them again: the same command goes on from the last checkpoint")


def join(
    coordinator_address: str | None, num_processes: int | None, process_id: int | None, *,
    timeout_s: int,
) -> None:
    """Meets the other hosts; to be called before anything else is asked of JAX.

    What is None is asked of the cluster where JAX knows it: SLURM, Open MPI, Kubernetes, Cloud
    TPU.

    Args:
        coordinator_address: HOST:PORT of process 0, the same on all hosts.
        num_processes: how many hosts there are.
        process_id: which of them this is, from 0 on.
        timeout_s: after which hosts that have not met give up.

    Raises:
        UserError: an argument is missing or wrong, or process 0 cannot listen. Hosts that do not
            meet end the process with the same line and status: JAX raises nothing then.
    """
    given = dict(zip(_ARGUMENTS, (coordinator_address, num_processes, process_id), strict=True))
    if coordinator_address is not None and not coordinator_address.rpartition(":")[2].isdecimal():
        raise UserError(f"--coordinator_address is {coordinator_address!r}; give HOST:PORT of "
                        "process 0, such as node1:1234")
    if num_processes is not None and process_id is not None and process_id >= num_processes:
        raise UserError(f"--process_id is {process_id}, but --num_processes {num_processes}; count "
                        "from 0")
    if coordinator_address is not None and process_id == 0:
        _check_port(int(coordinator_address.rpartition(":")[2]))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Signals are Python's: JAX's own notice of SIGTERM would take it away from us.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with _ending_in_one_line(f"the processes did not meet within {timeout_s} s: one of them "
                                 "was not started, or --coordinator_address is not where process 0 "
                                 "runs, or a firewall closes its port"):
            # In a thread: this one hears signals while it waits.
            ThreadPoolExecutor(1, "flowaa-join").submit(
                jax.distributed.initialize, coordinator_address, num_processes, process_id,
                initialization_timeout=timeout_s, heartbeat_timeout_seconds=_SILENCE_S,
                shutdown_timeout_seconds=_SILENCE_S).result()
    except (ValueError, KeyError):  # of jax's look at the cluster
        missing = [f"--{name}" for name, value in given.items() if value is None]
        raise UserError(f"no cluster was found (SLURM, Open MPI, Kubernetes, Cloud TPU) that says "
                        f"what is missing; give {', '.join(missing)}") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the processes cannot meet: {reason}; check that the port of "
                        "--coordinator_address is free on process 0") from None
    _on_abort(f"error: {_LOST}\n", HostLost.STATUS)
    # Now that all are here: later one host may come long after another, as at its compilation.
    multihost_utils.sync_global_devices("flowaa")


def _check_port(port: int) -> None:
    """Refuses one that process 0 cannot listen at: JAX ends with a segmentation fault there."""
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as ours:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                ours.bind((host, port))
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno not in (
                    errno.EADDRINUSE, errno.EACCES, errno.EPERM):
                continue  # a machine without addresses of this family
            raise UserError(f"--coordinator_address: process 0 cannot listen at port {port} "
                            f"({error}); give one that is free") from None


def leave() -> None:
    """Waits a moment until all hosts have come to their end, so that none takes another for lost.

    For a host that ends with an error, and then at once: JAX's own way out waits for minutes.
    """
    if jax.distributed.is_initialized() and jax.process_count() > 1:
        with contextlib.suppress(Exception):  # others may not come: they are lost, or go on
            ocp.multihost.get_barrier_sync_fn()(key="leave", timeout_ms=1_000 * _LEAVING_S)
        if jax.process_index() == 0:
            time.sleep(0.5)  # without process 0 the others are aborted, before they have left


@contextlib.contextmanager
def telling_of_lost_hosts() -> Iterator[None]:
    """Within it, what JAX raises since another host does not answer is a `HostLost`."""
    try:
        yield
    except UserError:
        raise
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # a failed collective may be either
        if jax.process_count() == 1 or not _FAILED.match(str(error)):
            raise
        raise HostLost(f"{_LOST} ({str(error).splitlines()[0][:200]})") from error


@contextlib.contextmanager
def _ending_in_one_line(problem: str) -> Iterator[None]:
    """Within it JAX's own report on stderr is held back, and its abort says the problem alone."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    _on_abort(f"error: {problem}\n", 2, kept)
    with open(kept, "w") as ours, contextlib.redirect_stderr(ours):
        try:
            os.dup2(nowhere, 2)  # what C++ writes
            yield
        finally:
            os.dup2(kept, 2)
            os.close(nowhere)


_handlers: list[Any] = []  # that C may call as long as the process lives


def _on_abort(message: str, status: int, stderr: int = 2) -> None:
    """Ends the process with a line and a status where a library aborts it.

    JAX raises nothing in Python when hosts do not meet or process 0 is lost: its C++ writes a
    report of several lines and calls `abort`.
    """
    def end(_: int) -> None:
        os.write(stderr, message.encode())
        os._exit(status)

    with contextlib.suppress(OSError, AttributeError):  # no such C library
        _handlers.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(end))
        ctypes.CDLL(None).signal(int(signal.SIGABRT), _handlers[-1])
