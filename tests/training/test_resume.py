"""A run that was cut off, however, ends as if it had not been: bit for bit."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowaa.errors import FlowaaWarning, UserError
from flowaa.run import load_run
from flowaa.training.faults.signals import TrainingInterrupted
from flowaa.training.files.metrics_log import MetricsLog
from tests.training.tiny import (
    config_of,
    image_config,
    rows,
    state_at,
    summary,
    train,
    without_wall_s,
)

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("no_figures")


class Killed(BaseException):
    """Ends a run on the spot, as kill -9 does: nothing is saved on the way out."""


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> dict[str, Any]:
    data = tmp_path_factory.mktemp("data") / "images.npz"
    return {"plain": config_of(), "full": image_config(data, **{"training.steps_per_call": 2,
                                                               "training.log_every_steps": 2})}


@pytest.fixture(scope="module")
def uninterrupted(configs, plane, tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a run that nobody cut off."""
    folders = {"plain": shutil.copytree(plane, tmp_path_factory.mktemp("plain") / "run")}

    def run(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
                patch.setattr("flowaa.run.train._save_samples", lambda folder, run, data: None)
                train(configs[name], str(folders[name]))
        return folders[name]

    return run


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Has `act` called once, right after the row of a step was written."""
    write = MetricsLog.write

    def write_and_act(log: MetricsLog, at: int, wall_s: float, scalars: dict[str, float]) -> None:
        write(log, at, wall_s, scalars)
        if at == step:
            monkeypatch.setattr(MetricsLog, "write", write)
            act()

    monkeypatch.setattr(MetricsLog, "write", write_and_act)


def kill() -> None:
    raise Killed


def assert_same_run(found: Path, expected: Path) -> None:
    assert without_wall_s(rows(found)) == without_wall_s(rows(expected))
    assert without_wall_s(summary(found)) == without_wall_s(summary(expected))
    for a, b in zip(state_at(found, 8), state_at(expected, 8), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "step"), [("plain", 1), ("plain", 4), ("full", 6)])
def test_stopped_by_a_signal(name, step, configs, uninterrupted, tmp_path, monkeypatch):
    at_step(monkeypatch, step, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TrainingInterrupted, match=f"step {step};"):
        train(configs[name], str(tmp_path))
    train(configs[name], str(tmp_path))
    assert_same_run(tmp_path, uninterrupted(name))


@pytest.mark.parametrize(("name", "step"), [("plain", 2), ("plain", 7), ("full", 6)])
def test_killed(name, step, configs, uninterrupted, tmp_path, monkeypatch):
    at_step(monkeypatch, step, kill)
    with pytest.raises(Killed):
        train(configs[name], str(tmp_path))
    assert rows(tmp_path)[-1]["step"] == step  # beyond the checkpoint: dropped on the way
    train(configs[name], str(tmp_path))
    assert_same_run(tmp_path, uninterrupted(name))


def test_a_finished_run_is_not_trained_again(configs, uninterrupted):
    workdir = uninterrupted("plain")
    before = state_at(workdir, 8), rows(workdir), without_wall_s(summary(workdir))
    train(configs["plain"], str(workdir))
    for a, b in zip(state_at(workdir, 8), before[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert (rows(workdir), without_wall_s(summary(workdir))) == before[1:]


def halve(files: Iterable[Path]) -> None:
    """Truncates files, as a full disk does."""
    for file in files:
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(files: Iterable[Path]) -> None:
    """Changes a byte in the middle of each file of arrays."""
    for file in files:
        if file.is_file() and file.parent.name == "d":
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 0xFF
            file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "arrays_truncated": lambda step: halve(step.joinpath("state").rglob("*")),
    "arrays_flipped": lambda step: flip(step.joinpath("state").rglob("*")),
    "params_truncated": lambda step: halve(step.joinpath("params").rglob("*")),
    "params_flipped": lambda step: flip(step.joinpath("params").rglob("*")),
    "description_truncated": lambda step: halve(step.joinpath("run").rglob("*")),
    "all_truncated": lambda step: halve(step.rglob("*")),
    "arrays_missing": lambda step: shutil.rmtree(step / "state"),
    "params_missing": lambda step: shutil.rmtree(step / "params"),
}
OF_THE_STATE = {"arrays_truncated", "arrays_flipped", "arrays_missing"}  # load_run reads none of it


@pytest.fixture(scope="module")
def two_steps(configs, tmp_path_factory) -> Path:
    """A run stopped at step 7, with checkpoints 4 and 7."""
    workdir = tmp_path_factory.mktemp("two_steps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
        at_step(patch, 7, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(TrainingInterrupted):
            train(configs["plain"], str(workdir))
    return workdir


@pytest.mark.parametrize("kind", DAMAGE)
def test_training_passes_over_a_damaged_checkpoint(
    kind, configs, two_steps, uninterrupted, tmp_path
):
    workdir = shutil.copytree(two_steps, tmp_path / "run")
    DAMAGE[kind](workdir / "checkpoints" / "7")
    with pytest.warns(FlowaaWarning, match=r"checkpoint 7 of .* is damaged and passed") as told:
        train(configs["plain"], str(workdir))
    assert sum("is damaged" in str(warning.message) for warning in told) == 1
    assert_same_run(workdir, uninterrupted("plain"))


@pytest.mark.parametrize("kind", sorted(OF_THE_STATE))
def test_load_run_needs_no_optimiser(kind, two_steps, tmp_path):
    workdir = shutil.copytree(two_steps, tmp_path / "run")
    DAMAGE[kind](workdir / "checkpoints" / "4")
    assert load_run(workdir).step == 4


@pytest.mark.parametrize("kind", sorted(DAMAGE.keys() - OF_THE_STATE))
def test_load_run_passes_over_a_damaged_checkpoint(kind, two_steps, tmp_path):
    """The best on validation is the first choice, here step 4; step 7 is left."""
    workdir = shutil.copytree(two_steps, tmp_path / "run")
    assert load_run(workdir).step == 4
    DAMAGE[kind](workdir / "checkpoints" / "4")
    with pytest.warns(FlowaaWarning, match=r"checkpoint 4 of .* is damaged and passed") as told:
        assert load_run(workdir).step == 7
    assert sum("is damaged" in str(warning.message) for warning in told) == 1
    with pytest.raises(UserError, match=r"checkpoint 4 of .* is damaged; leave step out"):
        load_run(workdir, step=4)
    DAMAGE[kind](workdir / "checkpoints" / "7")
    with pytest.raises(UserError, match=r"no checkpoint .* can be read; train anew"):
        load_run(workdir)


def test_a_damaged_last_checkpoint_is_made_anew(configs, uninterrupted, tmp_path):
    workdir = shutil.copytree(uninterrupted("plain"), tmp_path / "run")
    DAMAGE["arrays_truncated"](workdir / "checkpoints" / "8")
    train(configs["plain"], str(workdir))
    assert_same_run(workdir, uninterrupted("plain"))


def test_a_run_without_any_whole_checkpoint_is_left_alone(configs, two_steps, tmp_path):
    workdir = shutil.copytree(two_steps, tmp_path / "run")
    for step in (4, 7):
        DAMAGE["all_truncated"](workdir / "checkpoints" / str(step))
    before = rows(workdir)
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read"):
        train(configs["plain"], str(workdir))
    assert rows(workdir) == before


def test_killed_process_goes_on_where_it_stopped(configs, uninterrupted, tmp_path):
    """The real thing: SIGKILL to the command, then the same command again."""
    command = [sys.executable, "-m", "experiments.train", "--config=configs/default.py:smoke",
               f"--workdir={tmp_path}"]
    flat = configs["plain"].to_dict()
    for block in ("flow", "data", "training"):
        for key in ("n_blocks", "width", "depth", "n_rows", "steps", "log_every_steps",
                    "evaluate_every_steps", "steps_per_call", "n_devices", "compilation_cache"):
            if key in flat[block]:
                command.append(f"--config.{block}.{key}={flat[block][key]}")
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoints" / "4").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "checkpoints" / "4").exists()
    assert not (tmp_path / "summary.json").exists()
    train(configs["plain"], str(tmp_path))
    assert_same_run(tmp_path, uninterrupted("plain"))
