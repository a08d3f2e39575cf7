"""What a user can get wrong ends in one line that says what to do; nothing is half-written."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import default
from experiments import train
from flowaa.training.files import metrics_log
from tests.commands import Result, run_command

ROOT = Path(__file__).parents[1]
SMOKE = "--config=configs/default.py:smoke"
NO_CACHE = "--config.training.compilation_cache="  # the user's own is left alone
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(60, 4)).astype(np.float32)
IMAGES = RANDOM.integers(0, 256, (60, 6, 6, 1)).astype(np.uint8)


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def fails(tmp_path, capsys):
    """Runs the command with a new workdir, which must fail and leave nothing behind."""

    def run(*arguments: str, workdir: Path | None = None) -> str:
        workdir = workdir or tmp_path / "new" / "run"
        before = contents(tmp_path)
        result = run_command(train.main, [*arguments, NO_CACHE, f"--workdir={workdir}"], capsys)
        assert contents(tmp_path) == before
        return the_one_line(result)

    return run


def the_one_line(result: Result) -> str:
    """The message of a user's error: one line on stderr, and status 2."""
    lines = [line for line in result.err.splitlines() if line.strip()]
    assert result.status == 2, result.err
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: ")
    assert result.out == ""
    return lines[0].removeprefix("error: ")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def assert_names(message: str, *words: str) -> None:
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


@pytest.mark.parametrize("arguments", [[], [SMOKE], ["--workdir=runs/x"]])
def test_flags_that_are_missing(arguments, capsys):
    assert_names(the_one_line(run_command(train.main, arguments, capsys)), "--config", "--workdir")


@pytest.mark.parametrize(("arguments", "words"), [
    (["--config=configs/digit.py"], ["configs/digit.py", "no file"]),
    (["--config=configs"], ["configs"]),
    (["--config=README.md"], ["README.md"]),
    (["--config=configs/default.py:tiny"], ["tiny", "smoke"]),
    ([SMOKE, "--config.training.step=3"], ["did you mean --config.training.steps"]),
    ([SMOKE, "--config.trainig.steps=3"], ["trainig.steps"]),
    ([SMOKE, "--config.training.steps=abc"], ["training.steps", "abc"]),
    ([SMOKE, "--config.training.steps=2.5"], ["training.steps", "2.5"]),
    ([SMOKE, "--config.flow.actnorm=perhaps"], ["flow.actnorm", "perhaps"]),
    ([SMOKE, "--config.flow.n_blocks=(four,)"], ["flow.n_blocks"]),
    ([SMOKE, "--wrokdir=x"], ["wrokdir"]),
    ([SMOKE, "stray"], ["stray", "--name=value"]),
])
def test_flags_that_are_wrong(fails, arguments, words):
    assert_names(fails(*arguments), *words)


@pytest.mark.parametrize(("overrides", "words"), [
    (["data.name=mixtures"], ["data.name", "mixtures", "mixture, moons"]),
    (["flow.law=afine"], ["flow.law", "afine", "affine"]),
    (["flow.split=half"], ["flow.split", "halves"]),
    (["flow.mixing=shuffle"], ["flow.mixing", "permutation"]),
    (["flow.memory=much"], ["flow.memory", "reversible"]),
    (["flow.base=gauss"], ["flow.base", "normal"]),
    (["flow.reshape=('squash',)"], ["reshape", "squash", "squeeze"]),
    (["flow.n_blocks=(2, 2)"], ["flow", "one entry per stage", "n_blocks"]),
    (["flow.reshape=('squeeze',)"], ["flow.reshape", "squeeze", "none"]),
    (["flow.width=(0,)"], ["flow.width is (0,)", "1 or larger"]),
    (["flow.width=(2.5,)"], ["flow.width", "whole"]),
    (["flow.split_off=('a',)"], ["flow.split_off"]),
    (["flow.width=(nan,)"], ["flow.width"]),
    (["flow.kernel_sizes=((),)"], ["flow.kernel_sizes"]),
    (["flow.n_blocks=(-1,)"], ["flow.n_blocks"]),
    (["flow.depth=(-1,)"], ["flow.depth"]),
    (["flow.split_off=(1.5,)"], ["flow.split_off"]),
    (["flow.dropout=1.0"], ["flow.dropout"]),
    (["flow.clamp=0.0"], ["flow.clamp"]),
    (["flow.n_heads=0"], ["flow.n_heads"]),
    (["flow.subnet=attention"], ["flow.subnet=attention", "no pixels"]),
    (["flow.law=spline", "flow.spline_bins=0"], ["flow.spline_bins"]),
    (["flow.law=spline", "flow.spline_bound=-1.0"], ["flow.spline_bound"]),
    (["likelihood.logit_alpha=0.1"], ["likelihood.logit_alpha", "discrete"]),
    (["likelihood.evaluation_samples=0"], ["likelihood.evaluation_samples"]),
    (["optimizer.name=sgdd"], ["optimizer.name", "adam"]),
    (["optimizer.schedule=linear"], ["optimizer.schedule", "cosine"]),
    (["optimizer.learning_rate=-1.0"], ["optimizer.learning_rate"]),
    (["optimizer.ema_decay=1.5"], ["optimizer.ema_decay"]),
    (["training.steps=0"], ["training.steps"]),
    (["training.steps_per_call=0"], ["training.steps_per_call"]),
    (["training.steps_per_call=3"], ["training", "multiple", "steps_per_call"]),
    (["training.log_every_steps=-2"], ["training.log_every_steps"]),
    (["training.keep_checkpoints=0"], ["training.keep_checkpoints"]),
    (["training.batch_size=0"], ["training.batch_size"]),
    (["training.batch_size=12"], ["12", "8 devices", "training.batch_size"]),
    (["training.n_devices=9"], ["training.n_devices", "9", "8"]),
    (["training.n_devices=-1"], ["training.n_devices"]),
    (["figures.n_samples=0"], ["figures.n_samples"]),
    (["figures.temperature=-1.0"], ["figures.temperature"]),
    (["data.n_rows=2"], ["data.n_rows"]),
    (["data.test_fraction=1.5"], ["data.test_fraction"]),
    (["seed=-1"], ["seed"]),
    (["data.name=arrays"], ["data.path"]),
    (["data.name=image_folder"], ["data.dir"]),
])
def test_configs_that_cannot_be(fails, overrides, words):
    assert_names(fails(SMOKE, *(f"--config.{override}" for override in overrides)), *words)


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def truncated(path: Path) -> Path:
    npz(path, x=ROWS)
    path.write_bytes(path.read_bytes()[:-300])
    return path


class Bomb:
    """Unpickled, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def pickled(path: Path) -> Path:
    np.savez(path, x=np.array([Bomb(path.with_name("mark"))] * 3, object))
    return path


def with_nan() -> np.ndarray:
    rows = ROWS.copy()
    rows[17, 2] = np.nan
    return rows


FILES = {
    "missing": (lambda path: path, ["no such file"]),
    "empty": (lambda path: (path.write_bytes(b""), path)[1], ["is empty"]),
    "truncated": (truncated, ["truncated or damaged"]),
    "pickled": (pickled, ["pickled", "never loaded"]),
    "text": (lambda path: (path.write_text("x,y\n1,2\n"), path)[1], ["no NumPy file"]),
    "other_keys": (lambda path: npz(path, images=ROWS), ["images", "x_train"]),
    "nan": (lambda path: npz(path, x=with_nan()), ["row 17, column 2", "nan"]),
    "infinite": (lambda path: npz(path, x=np.where(ROWS > 2, np.inf, ROWS)), ["is inf"]),
    "far_too_large": (lambda path: npz(path, x=np.where(ROWS > 2, 1e30, ROWS)),
                      ["is 1e+30", "row"]),
    "no_rows": (lambda path: npz(path, x=ROWS[:0]), ["no values"]),
    "labels_out_of_range": (lambda path: npz(path, x=ROWS, y=np.full(60, 3)), ["out of range"]),
    "labels_negative": (lambda path: npz(path, x=ROWS, y=np.arange(60) - 1), ["label -1"]),
    "labels_of_another_length": (lambda path: npz(path, x=ROWS, y=np.arange(59) % 2), ["59"]),
    "sides_that_do_not_halve": (
        lambda path: npz(path, x=IMAGES[:, :5, :5]), ["5x5", "flow.reshape", "resize"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_cannot_be_read(fails, kind, tmp_path):
    make, words = FILES[kind]
    path = make(tmp_path / "data.npz")
    message = fails("--config=configs/arrays.py:smoke", f"--config.data.path={path}",
                    "--config.flow.reshape=('squeeze',)" if "sides" in kind else "--config.seed=0",
                    "--config.flow.architecture=stages")
    assert_names(message, *words)
    if "sides" not in kind:
        assert_names(message, "data.npz")


def test_conditional_flow_of_data_without_labels(fails, tmp_path):
    path = npz(tmp_path / "rows.npz", x=ROWS)
    for override in ("flow.conditional=True", "flow.base=class_mixture"):
        message = fails(SMOKE, "--config.data.name=arrays", f"--config.data.path={path}",
                        f"--config.{override}")
        assert_names(message, override, "labels")


def test_data_set_that_needs_a_network(fails, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    message = fails("--config=configs/mnist.py:smoke", f"--config.data.dir={tmp_path / 'tfds'}")
    assert_names(message, "tfds:mnist", "not prepared", "data.dir")


def started(workdir: Path, **changed: int) -> Path:
    """A folder in which a run of the smoke config was started and has a checkpoint."""
    config = default.get_config("smoke").to_dict()
    config["training"] |= changed
    (workdir / "checkpoints" / "2").mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps(config))
    return workdir


def test_workdir_with_another_config(fails, tmp_path):
    workdir = started(tmp_path / "run", steps=6, batch_size=24)
    message = fails(SMOKE, "--config.optimizer.learning_rate=0.5", workdir=workdir)
    assert_names(message, "optimizer.learning_rate", "training.steps", "training.batch_size",
                 "another")
    assert "n_blocks" not in message


def test_workdir_with_another_version_of_the_keys(fails, tmp_path):
    workdir = started(tmp_path / "run", forgotten=1)
    assert_names(fails(SMOKE, workdir=workdir), "training.forgotten")


def test_workdir_with_a_damaged_config(fails, tmp_path):
    workdir = started(tmp_path / "run")
    (workdir / "config.json").write_text('{"seed": 0, "dat')
    assert_names(fails(SMOKE, workdir=workdir), "config.json", "damaged")


def test_workdir_with_checkpoints_of_no_run(fails, tmp_path):
    workdir = tmp_path / "run"
    (workdir / "checkpoints").mkdir(parents=True)
    assert_names(fails(SMOKE, workdir=workdir), "checkpoints", "another folder")


def test_workdir_is_or_lies_below_a_file(fails, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    assert_names(fails(SMOKE, workdir=file), "file", "folder")
    assert_names(fails(SMOKE, workdir=file / "below"), str(file / "below"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_disk_that_is_read_only_or_full(fails, tmp_path, monkeypatch, number):
    """Root may write anywhere, so the system's refusal is played."""
    workdir = started(tmp_path / "run")

    def refuse(path: Path, *arguments, **options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    assert_names(fails(SMOKE, workdir=workdir), os.strerror(number), "config.json", "writable")
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert_names(fails(SMOKE), os.strerror(number), "writable")


def test_disk_that_fills_up_on_the_way(tmp_path, capsys, monkeypatch):
    """What was written stays whole, and the same command goes on once there is room."""
    write = metrics_log.MetricsLog.write

    def refuse(log, step, wall_s, scalars):
        if step == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")
        write(log, step, wall_s, scalars)

    arguments = [SMOKE, "--config.training.n_devices=1", "--config.flow.n_blocks=(1,)",
                 "--config.flow.depth=(1,)", NO_CACHE, f"--workdir={tmp_path}"]
    with monkeypatch.context() as patch:
        patch.setattr(metrics_log.MetricsLog, "write", refuse)
        result = run_command(train.main, arguments, capsys)
    assert result.status == 2
    message = result.err.splitlines()[-1]
    assert_names(message, "error: metrics.jsonl", os.strerror(errno.ENOSPC), "room")
    assert "Traceback" not in result.err
    assert not (tmp_path / "summary.json").exists()
    result = run_command(train.main, arguments, capsys)
    assert result.status == 0
    assert json.loads((tmp_path / "summary.json").read_text())["steps"] == 4


def test_loss_that_is_no_longer_finite(tmp_path, capsys):
    result = run_command(train.main, [
        SMOKE, "--config.training.n_devices=1", "--config.optimizer.learning_rate=1e30",
        "--config.optimizer.warmup_steps=0", "--config.optimizer.schedule=constant",
        "--config.flow.n_blocks=(1,)", "--config.flow.depth=(1,)", NO_CACHE,
        f"--workdir={tmp_path}",
    ], capsys)
    assert result.status == 2
    assert_names(result.err.splitlines()[-1], "error: ", "no longer finite", "learning_rate")
    assert "Traceback" not in result.err


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "experiments.train", *arguments], cwd=ROOT,
                          capture_output=True, text=True, check=False)


def test_help_from_a_shell():
    result = shell("--help")
    assert result.returncode == 0
    assert_names(result.stdout, "--config", "--workdir", "--config.optimizer.learning_rate")


def test_disk_that_has_no_room_for_a_checkpoint(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage",
                        lambda path: shutil._ntuple_diskusage(2**30, 2**30 - 1000, 1000))
    result = run_command(train.main, [
        SMOKE, "--config.training.n_devices=1", "--config.flow.n_blocks=(1,)",
        "--config.flow.depth=(1,)", NO_CACHE, f"--workdir={tmp_path}",
    ], capsys)
    assert result.status == 2
    assert "Traceback" not in result.err
    assert_names(result.err.splitlines()[-1], "error: checkpoint 2", str(tmp_path), "1 MiB",
                 "make room")
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_disk_that_refuses_to_libraries(tmp_path):
    """Files of more than 2 kB are refused, to those who write in C++ as well."""
    limited = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
runpy.run_module("experiments.train", run_name="__main__", alter_sys=True)
"""
    arguments = [SMOKE, "--config.training.n_devices=1", "--config.flow.width=(64,)",
                 "--config.flow.n_blocks=(1,)", NO_CACHE, f"--workdir={tmp_path}"]
    result = subprocess.run([sys.executable, "-c", limited, *arguments], cwd=ROOT,
                            capture_output=True, text=True, check=False)
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert_names(errors[0], str(tmp_path), os.strerror(errno.EFBIG), "room")
    assert not list((tmp_path / "checkpoints").glob("[0-9]"))


@pytest.mark.parametrize("arguments", [
    ["--config=configs/none.py"],
    [SMOKE, "--config.data.name=none", "--workdir=runs/none"],
])
def test_errors_from_a_shell(arguments):
    result = shell(*arguments)
    the_one_line(Result(result.returncode, result.stdout, result.stderr))
    assert not (ROOT / "runs" / "none").exists()
