"""Runs the steps of `experiments.reproduce` side by side, each at most once in a folder."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from experiments.reproduce_jobs import Step
from flowaa.errors import Interrupted
from flowaa.training.faults.signals import stop_requests
from flowaa.training.files.run_folder import write_json

_POLL_S = 0.2
_ROOT = Path(__file__).parents[1]  # where the configs' relative paths start


class _Running(NamedTuple):
    process: subprocess.Popen[bytes]
    started_s: float


def run_steps(steps: Sequence[Step], out: Path, *, n_jobs: int, smoke: bool) -> dict[str, str]:
    """Runs what is not done, at most `n_jobs` at a time, and returns why steps failed, by name.

    A step whose predecessor failed fails too. Processes that still run when this is left, by Ctrl-C
    say, are asked to end; trainings then save their state.

    Args:
        steps: in any order; predecessors are among them.
        out: the output's folder, which is there.
        n_jobs: processes at a time.
        smoke: takes the configs' smoke variants.
    """
    waiting = [step for step in steps if not is_done(step, out, smoke=smoke)]
    failed: dict[str, str] = {}
    running: dict[Step, _Running] = {}
    with stop_requests() as received, tqdm(
            total=len(steps), initial=len(steps) - len(waiting), unit="step",
            dynamic_ncols=True) as bar:
        try:
            while waiting or running:
                if received:
                    number = received[0]
                    raise Interrupted(f"stopped by {signal.Signals(number).name}; the same command "
                                      "goes on", number)
                for step in list(waiting):
                    if step.after in failed:
                        failed[step.name] = f"it needs {step.after}"
                        waiting.remove(step)
                        bar.update()
                unfinished = {step.name for step in (*waiting, *running)}
                ready = [step for step in waiting if step.after not in unfinished]
                for step in ready[:n_jobs - len(running)]:
                    waiting.remove(step)
                    running[step] = _start(step, out, smoke=smoke)
                shown = ", ".join(step.name for step in running)
                if shown != bar.postfix:  # setting it draws the bar, else five times a second
                    bar.set_postfix_str(shown)
                for step, (process, started_s) in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[step]
                    reason = _finish(step, out, process.returncode, time.monotonic() - started_s,
                                     smoke=smoke)
                    if reason:
                        failed[step.name] = reason
                    bar.update()
                time.sleep(_POLL_S if running else 0.0)
        finally:
            for process, _ in running.values():
                process.terminate()
            for process, _ in running.values():
                process.wait()
    return failed


def is_done(step: Step, out: Path, *, smoke: bool) -> bool:
    """Whether this very command ended well here and all its pictures are whole."""
    try:
        mark = json.loads(_mark(step, out).read_text())
    except (OSError, ValueError):
        return False
    # Whether the folder has moved since does not matter.
    is_same = isinstance(mark, dict) and mark.get("command") == step.command(".", smoke=smoke)
    return is_same and not _broken_pictures(step, out)


def seconds_of(step: Step, out: Path) -> float:
    """Wall-clock seconds that a step took which is done."""
    return float(json.loads(_mark(step, out).read_text())["wall_s"])


def _start(step: Step, out: Path, *, smoke: bool) -> _Running:
    log = _log(step, out)
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *step.command(str(out), smoke=smoke)], stdin=subprocess.DEVNULL,
            stdout=file, stderr=subprocess.STDOUT, cwd=_ROOT)
    return _Running(process, time.monotonic())


def _finish(step: Step, out: Path, status: int, wall_s: float, *, smoke: bool) -> str:
    """Marks a step as done, or says in a line why it is not."""
    if status:
        lines = _log(step, out).read_text(errors="replace").replace("\r", "\n").splitlines()
        said = [line.strip() for line in lines if line.strip()] or ["it said nothing"]
        return f"status {status}: {said[-1]} (see {_log(step, out)})"
    broken = _broken_pictures(step, out)
    if broken:
        return f"it left no whole {broken[0]}"
    _mark(step, out).parent.mkdir(exist_ok=True)
    write_json(_mark(step, out), {"command": step.command(".", smoke=smoke), "wall_s": wall_s})
    return ""


def _broken_pictures(step: Step, out: Path) -> list[str]:
    broken = []
    for path in step.pictures:
        try:
            with contextlib.closing(Image.open(out / step.workdir / path)) as image:
                image.load()  # reads all of it, which finds one that is cut short
        except (OSError, SyntaxError):
            broken.append(path)
    return broken


def _mark(step: Step, out: Path) -> Path:
    return out / "done" / f"{step.name}.json"


def _log(step: Step, out: Path) -> Path:
    return out / "logs" / f"{step.name}.log"
