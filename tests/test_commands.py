"""What commands say and how they end: help, warnings, signals; most of them through a shell."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import Result, run_command
from tests.test_bad_input import NO_CACHE, ROOT, SMOKE, assert_names, the_one_line


def shell(*arguments: str, **options) -> Result:
    result = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True,
                            check=False, **options)
    return Result(result.returncode, result.stdout, result.stderr)


def command(name: str, *arguments: str) -> Result:
    return shell("-m", f"experiments.{name}", *arguments)


@pytest.mark.parametrize("name", ["train", "detect", "benchmark", "outliers"])
def test_version(name):
    assert command(name, "--version") == (0, "flowaa 0.1.0\n", "")


def test_help_lists_configs_with_their_cards():
    result = command("train", "--help")
    assert (result.status, result.err) == (0, "")
    for file in (ROOT / "configs").glob("[a-z]*.py"):
        card = file.read_text().removeprefix('"""').split("\n")[0].rstrip('"')
        assert_names(result.out, f"  {file.stem} ", card)


def test_help_lists_benchmarks_with_their_cards():
    result = command("benchmark", "--help")
    for file in (ROOT / "experiments" / "benchmarks").glob("[a-z]*.py"):
        assert f"  {file.stem} " in result.out
    assert_names(result.out, "reversible backpropagation", "--out")
    assert_names(the_one_line(command("benchmark")), "keller, light_tails, memory", "training")


def test_help_lists_the_detectors_keys_with_their_meanings():
    result = command("detect", "--help")
    defaults = (ROOT / "configs" / "default.py").read_text()
    keys = [line.split("=")[0].strip().removeprefix("detector.")
            for line in defaults.splitlines() if line.strip().startswith("detector.")]
    assert len(keys) > 15
    for key in keys:
        assert f"  {key} = " in result.out
    assert "hidden layers; of conv, halvings of the resolution" in result.out


def test_help_imports_nothing_heavy():
    code = ("import sys; sys.argv = ['train', '--help']; import runpy\n"
            "try: runpy.run_module('experiments.train', run_name='__main__')\n"
            "except SystemExit: pass\n"
            "print([name for name in ('jax', 'numpy', 'flax') if name in sys.modules])")
    assert shell("-c", code).out.endswith("[]\n")


@pytest.mark.parametrize(("name", "option", "words"), [
    ("detect", "--detector.foo=1", ["--detector.foo", "no such key"]),
    ("detect", "--detector.widht=1", ["did you mean --detector.width?"]),
    ("detect", "--detector.width=wide", ["--detector.width=wide"]),
    ("train", "--config.flow.width=(-1,)", ["--config.flow.width is (-1,)", "1 or larger"]),
    ("train", "--config.seed=-1", ["--config.seed is -1"]),
])
def test_errors_name_the_flag_that_was_typed(name, option, words, tmp_path, capsys, monkeypatch):
    from experiments import train

    monkeypatch.chdir(ROOT)
    workdir = f"--workdir={tmp_path / 'run'}"
    if name == "train":  # test_bad_input.py has one of its errors from a shell
        result = run_command(train.main, [SMOKE, option, NO_CACHE, workdir], capsys)
    else:
        result = command(name, option, workdir)
    assert_names(the_one_line(result), *words)
    assert not (tmp_path / "run").exists()


NOISE = """
import logging, threading, warnings
from absl import logging as absl_logging
from experiments import command
from flowaa.errors import warn

def fail():
    raise RuntimeError("a thread's")

def main():
    for _ in range(2):
        warn("picture 3 is broken")
        warnings.warn("a library's")
        absl_logging.warning("absl's")
        logging.getLogger("orbax").error("orbax's")
        logging.getLogger("asyncio").error("asyncio's")
        logging.getLogger("tensorflow").warning("tensorflow's")
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

command.run(main)
"""


def test_our_warnings_are_seen_once_and_theirs_never():
    assert shell("-c", NOISE) == (0, "", "warning: picture 3 is broken\n")


def started(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(("number", "status", "word"), [
    (signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"),
    (signal.SIGHUP, 129, "SIGHUP")])
@pytest.mark.parametrize("when", ["imports", "main"])
def test_a_signal_before_the_first_step_ends_in_one_line(tmp_path, number, status, word, when):
    """As flags are parsed, and as data is loaded."""
    file = tmp_path / "there"
    config = tmp_path / "config.py"
    wait = f"import pathlib, time; pathlib.Path({str(file)!r}).touch(); time.sleep(60)"
    body = "import flowaa.configs.default as default\n\ndef get_config(variant=''):\n"
    if when == "imports":
        config.write_text(wait + "\n" + body + "    return default.get_config()\n")
        process = started("-m", "experiments.train", f"--config={config}", "--workdir=x")
    else:
        code = f"from experiments import command\ndef main():\n    {wait}\ncommand.run(main)"
        process = started("-c", code)
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (status, "", f"stopped by {word}\n")


TINY = [SMOKE, "--config.training.n_devices=1", "--config.flow.n_blocks=(1,)",
        "--config.flow.depth=(1,)", "--config.flow.width=(8,)", NO_CACHE]


def test_a_closed_terminal_does_not_end_what_nohup_started():
    code = ("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
            "from experiments import command\n"
            "def main(): signal.raise_signal(signal.SIGHUP); print('on')\ncommand.run(main)")
    assert shell("-c", code) == (0, "on\n", "")


def test_a_signal_when_all_is_done_changes_no_status():
    """Python gives up its handlers before it clears modules; `late` goes after that."""
    code = ("import os, signal, sys; sys.argv = ['-m']; import experiments\n"
            "class Late:\n def __del__(self): os.kill(os.getpid(), signal.SIGTERM)\n"
            "late = Late()")
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("number", "status"), [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_training_saves_and_ends_in_one_line(tmp_path, number, status):
    process = started("-m", "experiments.train", *TINY, "--config.training.steps=4000000",
                      f"--workdir={tmp_path}")
    metrics = tmp_path / "metrics.jsonl"
    while not metrics.is_file() or metrics.stat().st_size < 200:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    last = err.splitlines()[-1]
    assert process.returncode == status
    assert last.startswith("stopped at step ")
    assert "the same command continues" in last
    assert "Traceback" not in err
    assert list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_a_damaged_checkpoint_is_named_once_and_nothing_else_is_said(plane, tmp_path, capfd):
    """The best one is truncated: the next is taken, with a warning."""
    import flowaa
    from experiments import outliers

    workdir = shutil.copytree(plane, tmp_path / "run")
    best = workdir / "checkpoints" / str(flowaa.load_run(plane).step)
    for file in best.rglob("*"):
        if file.is_file() and file.stat().st_size > 100:
            file.write_bytes(file.read_bytes()[:50])
    result = run_command(outliers.main, [f"--workdir={workdir}", "--n=4"], capfd)
    warnings = [line for line in result.err.splitlines() if line.startswith("warning: ")]
    assert result.status == 0, result.err
    assert len(warnings) == 1, result.err
    assert_names(warnings[0], f"checkpoint {best.name} of", "damaged")
    for word in ("Traceback", "WARNING", "orbax", "absl"):
        assert word not in result.err


CONFLICTS = [
    ("seed=36893488147419103232", ["seed", "2**32"]),
    ("flow.width=(1180591620717411303424,)", ["flow.width"]),
    ("flow.width=(2000000000,)", ["flow.width"]),
    ("flow.width=(1000000,)", ["parameters", "GiB", "lower flow.width"]),
    ("data.n_rows=1000000000000", ["data.n_rows"]),
    ("data.n_rows=-1", ["data.n_rows"]),
    ("data.image_size=0", ["data.image_size"]),
    ("training.min_reversible_cosine=7.0", ["training.min_reversible_cosine"]),
    ("training.check_reversible_steps=-1", ["training.check_reversible_steps"]),
    ("data.device_bytes=-5", ["data.device_bytes"]),
    ("optimizer.learning_rate=inf", ["optimizer.learning_rate", "finite"]),
    ("optimizer.clip_norm=nan", ["optimizer.clip_norm"]),
    ("detector.extremeness=(1.0,)", ["detector.extremeness", "2 values"]),
    ("detector.kind=oracle", ["detector.kind", "discriminator, classifier"]),
    ("archetypal_analysis.init=pca", ["archetypal_analysis.init", "coreset"]),
    ("archetypes.n_archetypes=1", ["archetypes.n_archetypes"]),
]


@pytest.mark.parametrize(("override", "words"), CONFLICTS)
def test_configs_out_of_range_write_nothing(tmp_path, capsys, monkeypatch, override, words):
    from experiments import train

    monkeypatch.chdir(ROOT)
    result = run_command(train.main, [SMOKE, f"--config.{override}", NO_CACHE,
                                      f"--workdir={tmp_path / 'run'}"], capsys)
    assert_names(the_one_line(result), *words)
    assert not (tmp_path / "run").exists()


def from_python(config, tmp_path: Path) -> str:
    import flowaa
    from flowaa.errors import UserError

    with pytest.raises(UserError) as caught:
        flowaa.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_configs_of_python_that_are_wrong(tmp_path):
    """A config made by hand is not locked, and its types are not looked after."""
    from ml_collections import ConfigDict

    from flowaa.configs import default

    config = default.get_config("smoke")
    config.optimizer.lerning_rate = 1.0
    assert_names(from_python(config, tmp_path), "optimizer.lerning_rate", "did you mean",
                 "optimizer.learning_rate")
    for key, value, word in (
        ("training.steps", 2.5, "a whole number"), ("flow.actnorm", 1, "True or False"),
        ("data.name", None, "text"), ("optimizer.learning_rate", "fast", "a number"),
        ("flow.width", 8, "a tuple"), ("flow.width", (True,), "a whole number"),
        ("training.steps", False, "a whole number"), ("seed", None, "a whole number"),
    ):
        fields = default.get_config("smoke").to_dict()
        block, _, name = key.rpartition(".")
        (fields[block] if block else fields)[name] = value
        assert_names(from_python(ConfigDict(fields), tmp_path), key, repr(value), word)
    for missing in ("optimizer", "seed"):
        fields = default.get_config("smoke").to_dict()
        del fields[missing]
        assert_names(from_python(ConfigDict(fields), tmp_path), missing)
    fields = default.get_config("smoke").to_dict() | {"optimiser": {}}
    assert_names(from_python(ConfigDict(fields), tmp_path), "optimiser")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_notebook_that_imports_the_experiments_keeps_its_handlers():
    code = ("import signal; before = signal.getsignal(signal.SIGINT); import experiments; "
            "print(before == signal.getsignal(signal.SIGINT))")
    assert shell("-c", code).out == "True\n"
