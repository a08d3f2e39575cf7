"""`python -m experiments.train --distributed` by several processes on this machine, over loopback.

A layout is a number of processes and the devices that each of them has.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from flowaa.errors import HostLost

_ROOT = Path(__file__).parents[2]
_DEADLINE_S = 1_200  # for a run that ends by itself
Layout = tuple[int, int]
# A shift of all logits, which a softmax over the batch cancels: its gradient is rounding alone,
# which Adam makes as large as any other.
_WITHOUT_EFFECT = "['heads']['to_selection']['bias']"


def start(
    config: str, keys: Mapping[str, Any], workdir: Path, layout: Layout, xla_flags: str = ""
) -> list[subprocess.Popen[str]]:
    """The processes of a run.

    Args:
        config: as for `--config`.
        keys: of the config, and their values.
        workdir: the run's folder.
        layout: one process joins no others.
        xla_flags: besides that for the devices.
    """
    n_processes, n_devices = layout
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "JAX_PLATFORMS": "cpu",
                   "XLA_FLAGS": f"--xla_force_host_platform_device_count={n_devices} {xla_flags}"}
    command = [sys.executable, "-m", "experiments.train", f"--config={config}",
               *(f"--config.{key}={value}" for key, value in keys.items()),
               f"--workdir={workdir}"]
    if n_processes > 1:
        command += ["--distributed", f"--coordinator_address=localhost:{_free_port()}",
                    f"--num_processes={n_processes}"]
    return [subprocess.Popen(
        [*command, *([f"--process_id={index}"] if n_processes > 1 else [])], cwd=_ROOT,
        env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for index in range(n_processes)]


def ends(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Status and last line on stderr of each process, once all have ended."""
    found = []
    for process in processes:
        _, err = process.communicate(timeout=_DEADLINE_S)
        lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip()]
        found.append((process.returncode, lines[-1] if lines else ""))
    return found


def finish(
    config: str, keys: Mapping[str, Any], workdir: Path, layout: Layout, xla_flags: str = ""
) -> None:
    """Trains to the end.

    Raises:
        RuntimeError: a process failed.
    """
    for status, line in ends(start(config, keys, workdir, layout, xla_flags)):
        if status:
            raise RuntimeError(f"{layout}: {line}")


def params_of(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """The parameters of a checkpoint by path, but those without any effect."""
    with ocp.StandardCheckpointer() as reader:
        params = reader.restore(workdir.resolve() / "checkpoints" / str(step) / "params")
    named = {jax.tree_util.keystr(path): np.asarray(leaf, np.float64)
             for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    return {name: leaf for name, leaf in named.items() if name != _WITHOUT_EFFECT}


def relative_difference(found: Path, expected: Path, step: int) -> float:
    """Norm of the difference of two runs' parameters, relative to that of the expected."""
    a, b = params_of(found, step), params_of(expected, step)
    squares = sum(np.square(a[name] - b[name]).sum() for name in b)
    return float(np.sqrt(squares / sum(np.square(leaf).sum() for leaf in b.values())))


def stop_one(
    config: str, keys: Mapping[str, Any], whole: Path, n_steps: int, *, index: int, number: int
) -> dict[str, float]:
    """A signal to one of two processes after their first checkpoint; then both are started again.

    Args:
        config: as for `start`.
        keys: likewise.
        whole: a run of the same layout, two processes of one device, that nothing stopped.
        n_steps: of it.
        index: of the process that gets the signal.
        number: of the signal.

    Returns:
        Seconds until the last of the others ended, how many had not the status and the last line
        that they should, and whether the run that went on differs from the whole one.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        processes = start(config, keys, run, (2, 1))
        while not _has_checkpoint(run) and all(process.poll() is None for process in processes):
            time.sleep(0.01)
        processes[index].send_signal(number)
        sent = time.perf_counter()
        found = ends(processes)
        seconds = time.perf_counter() - sent
        status = HostLost.STATUS if number == signal.SIGKILL else 128 + number
        word = "error: another process" if number == signal.SIGKILL else "stopped at step"
        others = [end for place, end in enumerate(found)
                  if place != index or number != signal.SIGKILL]
        wrong = [end for end in others if end[0] != status or not end[1].startswith(word)]
        for end in wrong:
            print(f"status {end[0]}: {end[1]}")
        finish(config, keys, run, (2, 1))
        different = relative_difference(run, whole, n_steps) > 0.0
    return {"wait_s": seconds, "wrong_ends": len(wrong), "different": float(different)}


def _has_checkpoint(workdir: Path) -> bool:
    return any(path.name.isdecimal() for path in (workdir / "checkpoints").glob("*"))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])
