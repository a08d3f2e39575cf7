"""`experiments.reproduce`: what it makes, what it makes again, and what it says of failures."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import reproduce, reproduce_jobs
from experiments.reproduce_jobs import FIGURES, STEPS, Figure, Step
from tests.commands import run_command

_MODULE = """
import json, pathlib, sys
from PIL import Image
folder = pathlib.Path(sys.argv[1].removeprefix("--workdir="))
folder.mkdir(parents=True, exist_ok=True)
with (folder / "calls").open("a") as file:
    file.write("x")
if (folder.parents[1] / "broken").exists() and folder.name == "a":
    sys.exit("error: it is broken")
Image.effect_noise((300, 300), 50).save(folder / "picture.png")
(folder / "summary.json").write_text(json.dumps({"test/nll": 1.25, "other": 3.0}))
"""


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A folder, and steps in the place of the real ones: b needs a, and c nothing."""
    (tmp_path / "fake_step.py").write_text(_MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    steps = tuple(Step(name, "fake_step", f"runs/{name}", after=after, pictures=("picture.png",))
                  for name, after in (("b", "a"), ("a", ""), ("c", "")))
    figures = tuple(
        Figure(f"fig4_{i}", f"caption {i}", "What it shows.", name, f"runs/{name}/picture.png",
               f"runs/{name}/summary.json", ("test/*",), stands_in=i == 2)
        for i, name in ((1, "b"), (2, "c")))
    monkeypatch.setattr(reproduce_jobs, "STEPS", steps)
    monkeypatch.setattr(reproduce_jobs, "FIGURES", figures)
    return tmp_path / "out"


def calls(out):
    return {path.parent.name: len(path.read_text()) for path in out.glob("runs/*/calls")}


def test_figures_numbers_and_page_are_made_once(out, capfd):
    arguments = [f"--out={out}", "--jobs=2"]
    assert run_command(reproduce.main, arguments, capfd).status == 0
    made = json.loads((out / "fig4_1.json").read_text())
    assert made["numbers"] == {"test/nll": 1.25}
    assert (out / "fig4_1.png").read_bytes() == (out / "runs/b/picture.png").read_bytes()
    page = (out / "README.md").read_text()
    assert "(fig4_1.png)" in page
    assert page.count("stand in for it") == 1  # of the second alone
    assert run_command(reproduce.main, arguments, capfd).status == 0
    assert calls(out) == {"a": 1, "b": 1, "c": 1}


def test_a_picture_cut_short_is_made_again(out, capfd):
    run_command(reproduce.main, [f"--out={out}"], capfd)
    picture = out / "runs/c/picture.png"
    picture.write_bytes(picture.read_bytes()[:2000])
    assert run_command(reproduce.main, [f"--out={out}"], capfd).status == 0
    assert calls(out) == {"a": 1, "b": 1, "c": 2}


def test_only_what_a_figure_needs_is_run(out, capfd):
    assert run_command(reproduce.main, [f"--out={out}", "--only=fig4_2"], capfd).status == 0
    assert calls(out) == {"c": 1}
    assert not (out / "fig4_1.png").exists()


def test_others_go_on_where_one_fails_and_it_is_tried_again(out, capfd):
    out.mkdir()
    (out / "broken").touch()
    result = run_command(reproduce.main, [f"--out={out}", "--jobs=1"], capfd)
    assert result.status == 2
    assert "a failed: status 1: error: it is broken" in result.err
    assert "b failed: it needs a" in result.err
    assert "Traceback" not in result.err
    assert (out / "fig4_2.json").exists()
    assert not (out / "fig4_1.json").exists()
    (out / "broken").unlink()
    assert run_command(reproduce.main, [f"--out={out}"], capfd).status == 0
    assert calls(out) == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize(("argument", "word"), [
    ("--only=fig9_9", "fig9_9"), ("--jobs=0", "jobs"), ("--out=", "--out")])
def test_wrong_flags_end_in_one_line(out, capfd, argument, word):
    result = run_command(reproduce.main, [f"--out={out}", argument], capfd)
    assert result.status == 2
    assert word in result.err
    assert result.err.count("\n") == 1


def test_the_table_is_whole():
    assert [figure.name for figure in FIGURES] == [f"fig4_{i}" for i in range(1, 13)]
    by_name = {step.name: step for step in STEPS}
    for figure in FIGURES:
        step = by_name[figure.step]
        assert figure.picture in [f"{step.workdir}/{path}" for path in step.pictures]
        assert not step.after or not by_name[step.after].after  # the command looks one step back


def test_a_signal_ends_the_steps_too(tmp_path):
    """Else a training would go on alone and hold its folder against the next call."""
    (tmp_path / "slow_step.py").write_text(
        "import os, pathlib, sys, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n")
    (tmp_path / "main.py").write_text(
        "import experiments.reproduce as r, experiments.reproduce_jobs as jobs\n"
        "jobs.STEPS = (jobs.Step('a', 'slow_step', 'a'),)\n"
        "jobs.FIGURES = (jobs.Figure('fig', '', '', 'a', 'a.png', 'a.json', ()),)\n"
        "r.command.run(r.main)\n")
    root = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), f"--out={tmp_path / 'out'}"],
        env={**os.environ, "PYTHONPATH": f"{root}:{tmp_path}"}, stderr=subprocess.PIPE, text=True)
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert "the same command goes on" in process.communicate(timeout=30)[1]
    assert process.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
