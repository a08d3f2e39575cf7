"""Kills and signals to `python -m experiments.train`, and what is left after them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

_ROOT = Path(__file__).parents[2]
_STEPS, _EVERY = 300, 10
_KEYS = {
    "flow.n_blocks": "(2,)", "flow.width": "(8,)", "flow.depth": "(1,)", "optimizer.ema_decay": 0.9,
    "training.steps": _STEPS, "training.evaluate_every_steps": _EVERY,
    "training.log_every_steps": 5, "training.steps_per_call": 1, "training.n_devices": 1,
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BEFORE_PYTHON_S = 0.1  # in which a process has no handlers yet


def try_kills(n_kills: int) -> dict[str, float]:
    """SIGKILLs, half at random times and half while a checkpoint is written, until runs are done.

    Returns:
        Kills, how many hit the writing of a checkpoint, runs that ended, and how many of these
        differ from an uninterrupted one in any parameter or row but for `wall_s`.
    """
    random, n_done, n_writing, n_ended, n_different = np.random.default_rng(0), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        whole, cache = Path(folder) / "whole", Path(folder) / "cache"
        start = time.perf_counter()
        _end(_start(whole, cache))
        seconds = time.perf_counter() - start
        expected, run = _kept(whole), Path(folder) / "run"
        while n_done < n_kills or run.exists():
            process = _start(run, cache, stderr=subprocess.DEVNULL)
            if n_done < n_kills:
                if n_done % 2:
                    n_writing += _kill_while_saving(process, run, random)
                else:
                    _kill_after(process, random.uniform(0.0, seconds))
                n_done += 1
            process.wait()
            if process.returncode == 0:
                n_ended += 1
                n_different += _kept(run) != expected
                shutil.rmtree(run)
    return {"kills": n_done, "while_saving": n_writing, "runs": n_ended, "different": n_different}


def try_signals(n_signals: int) -> dict[str, float]:
    """SIGINT, SIGTERM and SIGHUP at random times from process start.

    Returns:
        Signals, how many came too late or before Python had begun, how many of the others did not
        end in one line with the right status or left a folder that the same command cannot
        continue, and the longest wait in seconds.
    """
    random = np.random.default_rng(1)
    figures = dict.fromkeys(("signals", "after_the_end", "before_python", "not_one_line",
                             "wrong_status", "unusable", "longest_wait_s"), 0.0)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        _end(_start(Path(folder) / "cold", cache))  # later ones have its compiled programs
        start = time.perf_counter()
        _end(_start(Path(folder) / "whole", cache))
        seconds = time.perf_counter() - start
        for index in range(n_signals):
            number, run = _SIGNALS[index % 3], Path(folder) / f"run_{index}"
            process = _start(run, cache)
            moment = random.uniform(0.0, seconds)
            time.sleep(moment)
            sent = time.perf_counter()
            process.send_signal(number)
            _, err = process.communicate(timeout=120)
            figures["signals"] += 1
            if process.returncode == 0:
                figures["after_the_end"] += 1
                continue
            if moment < _BEFORE_PYTHON_S:
                figures["before_python"] += 1
                continue
            wait = time.perf_counter() - sent
            figures["longest_wait_s"] = max(figures["longest_wait_s"], wait)
            figures["wrong_status"] += process.returncode != 128 + number
            said = [line for line in err.replace("\r", "\n").splitlines()
                    if line.strip() and "step/s" not in line and not line.startswith("warning:")]
            figures["not_one_line"] += len(said) != 1 or not said[0].startswith("stopped ")
            again = _start(run, cache)
            again.communicate()
            figures["unusable"] += again.returncode != 0
    return figures


def _start(
    workdir: Path, cache: Path, stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    keys = [f"--config.{key}={value}" for key, value in _KEYS.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.train", "--config=configs/default.py:smoke", *keys,
         f"--config.training.compilation_cache={cache}", f"--workdir={workdir}"],
        cwd=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)}, text=True,
        stdout=subprocess.DEVNULL, stderr=stderr)


def _end(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate()
    if process.returncode:
        raise RuntimeError(err)


def _kill_after(process: subprocess.Popen[str], seconds: float) -> None:
    time.sleep(seconds)
    process.kill()


def _kill_while_saving(
    process: subprocess.Popen[str], run: Path, random: np.random.Generator
) -> bool:
    """Kills once a new checkpoint has begun to be written; whether it was still being written."""
    n_saves, wait_s = random.integers(1, 6), random.uniform(0.0, 0.03)
    seen: set[str] = set()
    while process.poll() is None:
        seen |= {path.name for path in (run / "checkpoints").glob("*.partial*")}
        if len(seen) >= n_saves:
            time.sleep(wait_s)
            process.kill()
            process.wait()
            return any((run / "checkpoints").glob("*.partial*"))
        time.sleep(0.0005)
    return False


def _kept(workdir: Path) -> Any:
    """Rows of the metrics but for `wall_s`, and the bytes of every array of the last state."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["wall_s"]
    with ocp.StandardCheckpointer() as reader:
        items = [reader.restore(workdir.resolve() / "checkpoints" / str(_STEPS) / item)
                 for item in ("params", "state")]
    return rows, [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(items)]
