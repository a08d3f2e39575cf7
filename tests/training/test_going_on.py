"""When a run may go on: with which changes, after what, and beside whom."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from experiments import archetypes, detect
from experiments import train as train_command
from flowaa.errors import FlowaaWarning, UserError
from flowaa.run import load_run
from flowaa.training.files.run_folder import RunFolder
from tests.commands import run_command
from tests.training.test_resume import DAMAGE, Killed, at_step, kill
from tests.training.tiny import config_of, rows, state_at, summary, train, without_wall_s

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("no_figures")


def assert_same_rows_and_state(workdir: Path, expected: Path, step: int) -> None:
    assert without_wall_s(rows(workdir)) == without_wall_s(rows(expected))
    for a, b in zip(state_at(workdir, step), state_at(expected, step), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_rarer_than_checkpoints_survive_a_kill(tmp_path, monkeypatch):
    """The row of step 6 is the mean over steps 4 to 6, of which 4 was taken before the kill."""
    config = config_of(**{"training.log_every_steps": 3, "training.evaluate_every_steps": 4})
    train(config, tmp_path / "uninterrupted")
    at_step(monkeypatch, 6, kill)
    with pytest.raises(Killed):
        train(config, tmp_path / "cut_off")
    train(config, tmp_path / "cut_off")
    assert_same_rows_and_state(tmp_path / "cut_off", tmp_path / "uninterrupted", 8)


def test_a_finished_run_is_extended_as_if_asked_at_once(tmp_path):
    constant = {"optimizer.schedule": "constant", "optimizer.warmup_steps": 1}
    train(config_of(**constant, **{"training.steps": 4}), tmp_path / "extended")
    train(config_of(**constant), tmp_path / "extended")
    train(config_of(**constant), tmp_path / "at_once")
    assert_same_rows_and_state(tmp_path / "extended", tmp_path / "at_once", 8)
    assert without_wall_s(summary(tmp_path / "extended")) == without_wall_s(
        summary(tmp_path / "at_once"))


@pytest.fixture(scope="module")
def finished(plane, tmp_path_factory):
    return shutil.copytree(plane, tmp_path_factory.mktemp("finished") / "run")


@pytest.mark.parametrize(("changes", "message"), [
    ({"training.steps": 12}, r"training\.steps \(.* optimizer\.schedule=constant alone\)"),
    ({"training.steps": 4}, r"training\.steps \(.* not shorter\)"),
    ({"seed": 1, "training.batch_size": 8}, r"differ: seed, training\.batch_size;"),
])
def test_changes_that_would_change_the_result_are_refused(changes, message, finished):
    with pytest.raises(UserError, match=message):
        train(config_of(**changes), finished)


def test_changes_that_change_no_result_are_allowed(finished, tmp_path):
    before = without_wall_s(summary(finished))
    train(config_of(**{
        "figures.n_samples": 3, "training.log_every_steps": 4, "training.keep_checkpoints": 5,
        "training.n_devices": 2, "training.compilation_cache": str(tmp_path),
        "data.device_bytes": 0, "detector.width": 3, "archetypal_analysis.n_init": 1,
    }), finished)
    assert without_wall_s(summary(finished)) == pytest.approx(before, rel=1e-5)


def test_a_longer_warm_up_is_no_extension(tmp_path):
    """Of 4 steps at most 2 warm up, of 8 at most 4: the steps taken would have been others."""
    constant = {"optimizer.schedule": "constant", "optimizer.warmup_steps": 4}
    train(config_of(**constant, **{"training.steps": 4}), tmp_path)
    with pytest.raises(UserError, match=r"training\.steps \(the warm-up would become longer\)"):
        train(config_of(**constant), tmp_path)


def test_a_diverged_run_makes_room_for_the_corrected_command(tmp_path):
    too_fast = config_of(**{"optimizer.learning_rate": 1e30, "optimizer.warmup_steps": 0,
                            "training.evaluate_every_steps": 1})
    with pytest.raises(UserError, match="no longer finite at step"):
        train(too_fast, tmp_path)
    with pytest.raises(UserError, match="no longer finite at step"):  # the same command goes on
        train(too_fast, tmp_path)
    assert (tmp_path / "checkpoints").is_dir()
    with pytest.warns(FlowaaWarning, match=r"had diverged; it was moved to .*diverged.0"):
        train(config_of(), tmp_path)
    assert summary(tmp_path)["steps"] == 8
    moved = json.loads((tmp_path / "diverged" / "0" / "config.json").read_text())
    assert moved["optimizer"]["learning_rate"] == 1e30


def test_a_run_without_a_checkpoint_makes_room(tmp_path, monkeypatch):
    at_step(monkeypatch, 2, kill)
    with pytest.raises(Killed):
        train(config_of(**{"flow.width": (4,)}), tmp_path)
    train(config_of(), tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_one_training_at_a_time(tmp_path, capsys):
    with RunFolder(tmp_path).claimed({"seed": 0}):
        result = run_command(train_command.main, [
            "--config=configs/default.py:smoke", f"--workdir={tmp_path}",
            "--config.data.n_rows=200"], capsys)
    assert result.status == 2
    assert f"in use by process {os.getpid()} on {socket.gethostname()};" in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "checkpoints").exists()


def test_the_lock_ends_with_its_process(tmp_path):
    claim = ("import sys, time\nfrom flowaa.training.files.run_folder import RunFolder\n"
             f"with RunFolder({str(tmp_path)!r}).claimed({{}}):\n"
             "    print('claimed', flush=True)\n    time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", claim], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"claimed\n"
    with (pytest.raises(UserError, match=f"in use by process {process.pid} on"),
          RunFolder(tmp_path).claimed({})):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with RunFolder(tmp_path).claimed({}):
        pass


def test_an_analysis_leaves_a_training_run_alone(finished, capsys):
    before = (finished / "summary.json").read_bytes()
    result = run_command(archetypes.main, [
        "--config=configs/default.py:smoke", f"--workdir={finished}"], capsys)
    assert result.status == 2
    assert "holds a training run" in result.err
    assert (finished / "summary.json").read_bytes() == before


@pytest.mark.parametrize("name", ["", "..", "../../x", "a/b", "/x"])
def test_a_detector_stays_in_its_run(name, finished, capsys):
    result = run_command(detect.main, [f"--workdir={finished}", f"--name={name}"], capsys)
    assert result.status == 2
    assert f"--name is {name!r}" in result.err
    assert not (finished / "detectors").exists()


def test_a_run_of_an_older_version_says_how_to_train_it_anew(tmp_path):
    """Made before permutations moved every channel: its parameters describe another density now."""
    with tarfile.open(Path(__file__).with_name("run_of_version_1.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    with pytest.raises(UserError, match=r"another version.*train anew.*experiments\.train"):
        load_run(tmp_path)


@pytest.mark.parametrize("key", ["seed", "flow.base", "likelihood.logit_alpha", "archetypes",
                                 "archetypes.n_archetypes"])
def test_a_key_that_an_older_config_lacks_is_named(key, finished, tmp_path):
    workdir = tmp_path / "run"
    subprocess.run(["cp", "-r", finished, workdir], check=True)
    config = json.loads((workdir / "config.json").read_text())
    *block, name = key.split(".")
    del (config[block[0]] if block else config)[name]
    (workdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"lacks the .*{key}.* older flowaa"):
        load_run(workdir)


def test_another_models_parameters_are_no_damage(finished, tmp_path):
    """The config was changed by hand: the error names a parameter, not a damaged checkpoint."""
    workdir = tmp_path / "run"
    subprocess.run(["cp", "-r", finished, workdir], check=True)
    config = json.loads((workdir / "config.json").read_text())
    config["flow"]["width"] = [5]
    (workdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"of another model than its config describes: par"):
        load_run(workdir)


@pytest.mark.parametrize("kind", [None, "params_truncated", "leaves_missing"])
def test_orbax_says_nothing(kind, finished, tmp_path):
    """From Python, in a process of its own: all that is on stderr is our own line, once."""
    workdir = tmp_path / "run"
    subprocess.run(["cp", "-r", finished, workdir], check=True)
    if kind == "leaves_missing":  # reads fail one by one, while orbax closes its event loop
        for file in (workdir / "checkpoints" / "8" / "params").glob("d/*"):
            file.unlink()
    elif kind:
        DAMAGE[kind](workdir / "checkpoints" / "8")
    code = f"import flowaa\nfor _ in range(3): flowaa.load_run({str(workdir)!r})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                            check=True)
    assert "absl" not in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("is damaged and passed over") == int(kind is not None)
    assert result.stderr.count("\n") == int(kind is not None)
