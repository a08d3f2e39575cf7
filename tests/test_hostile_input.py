"""A run's folder, data or flags from a stranger, or from a disk that rots: one line, or a warning.

No code of theirs runs, nothing is written outside the folder, nothing hangs.
"""

import copy
import io
import itertools
import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowaa
from experiments import analyse, archetypes, detect, outliers
from experiments import train as train_command
from flowaa.data.files import npz
from flowaa.errors import FlowaaWarning, UserError
from flowaa.run.archetype_figures import recorded_start
from flowaa.run.detector import load_detector
from flowaa.training.files.metrics_log import MetricsLog
from flowaa.training.files.run_folder import RunFolder
from tests.commands import run_command
from tests.training.tiny import config_of

NOT_JSON = {"empty": b"", "cut": b'{"seed": 0, "dat', "not_utf8": b"\xff\xfe{}",
            "zeros": b"\0" * 99, "deep": b"[" * 100_000, "pickle": pickle.dumps({"seed": 0})}
NO_MAPPING = {"list": b"[1, 2]", "number": b"3", "null": b"null", "text": b'"x"', "nan": b"NaN"}


@pytest.fixture
def run(plane, tmp_path) -> Path:
    return shutil.copytree(plane, tmp_path / "run")


def raises(act: Any, *arguments: Any) -> str:
    """The one line of a user's error."""
    with pytest.raises(UserError) as caught:
        act(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def told_by(act: Any, *arguments: Any) -> str:
    """The one line of a user's error, or "" where there is none; warnings are not looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            act(*arguments)
        except UserError as error:
            message = str(error)
        else:
            message = ""
    assert "\n" not in message
    return message


@pytest.mark.parametrize("content", [*NOT_JSON.items(), *NO_MAPPING.items()], ids=lambda it: it[0])
def test_a_config_that_is_none(content, run):
    (run / "config.json").write_bytes(content[1])
    message = raises(flowaa.load_run, run)
    assert "config.json is damaged" in message


VALUES: tuple[Any, ...] = (None, -1, [], {}, "x", 1e30, [[]], [-3], [None], 2**70, float("nan"))


def edits(config: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all blocks and keys."""
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from edits(value, (*path, key))


@pytest.mark.parametrize("every", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_a_config_that_was_edited_loads_or_ends_in_one_line(every, run):
    """Every key with every value: about 1 400 configs, of which none leaves a traceback."""
    config = json.loads((run / "config.json").read_text())
    n_refused, n = 0, 0
    for path, value in list(itertools.product(edits(config), VALUES))[::every]:
        edited = copy.deepcopy(config)
        block = edited
        for key in path[:-1]:
            block = block[key]
        block[path[-1]] = value
        (run / "config.json").write_text(json.dumps(edited))
        n += 1
        said = told_by(flowaa.load_run, run)
        n_refused += bool(said)
        assert not said or path[-1] in said or "another model" in said, (path, value, said)
    assert n > 1000 / every
    assert n_refused > n / 3


@pytest.mark.parametrize("content", [
    *NOT_JSON.items(), *NO_MAPPING.items(), ("of_text", b'{"test/nll": "x"}'),
    ("of_lists", b'{"steps": [1]}')], ids=lambda it: it[0])
def test_a_summary_that_is_none_is_left_out(content, run):
    (run / "summary.json").write_bytes(content[1])
    with pytest.warns(FlowaaWarning, match=r"summary.json is damaged: its figures are left out"):
        assert flowaa.load_run(run).summary == {}


@pytest.mark.parametrize("content", [*NOT_JSON.items(), *NO_MAPPING.items()], ids=lambda it: it[0])
def test_metrics_that_are_none_are_left_out(content, tmp_path):
    line = b'{"step": 1, "wall_s": 0.5, "train/nll": 1.0}\n'
    (tmp_path / "metrics.jsonl").write_bytes(line + content[1] + b"\n" + line.replace(b"1", b"2"))
    with pytest.warns(FlowaaWarning, match=r"rows cannot be read and are left out"):
        log = MetricsLog(RunFolder(tmp_path), 10)
    log.close()
    assert [row["step"] for row in log.rows] == [1, 2]


@pytest.mark.parametrize("content", [
    *NOT_JSON.items(), *NO_MAPPING.items(), ("missing", b"{}"), ("zero", b'{"temperature": 0}'),
    ("word", b'{"temperature": "hot"}')], ids=lambda it: it[0])
def test_a_calibration_that_is_none(content, tmp_path):
    from flowaa.run.detector import _temperature

    file = tmp_path / "calibration.json"
    file.write_bytes(content[1])
    assert "calibration.json is damaged" in raises(_temperature, file)


@pytest.mark.parametrize("content", [b"", b"x" * 1000, pickle.dumps([1])])
def test_a_record_of_the_start_that_is_none_is_left_out(content, tmp_path):
    file = tmp_path / "start.npz"
    file.write_bytes(content)
    with pytest.warns(FlowaaWarning, match=r"start.npz is damaged"):
        assert recorded_start(file) == (None, {})


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", [
    "config.json", "summary.json", "splits.npz", "reference.npz", "checkpoints/8/manifest.json",
    "checkpoints/8/run/metadata", "checkpoints/8/params/_METADATA",
    "checkpoints/4/state/_METADATA"])
def test_a_planted_pickle_is_never_loaded(name, run, tmp_path, capsys):
    mark = tmp_path / "mark"
    (run / name).write_bytes(pickle.dumps(Bomb(mark)))
    told_by(flowaa.load_run, run)
    told_by(flowaa.train, config_of(), run)
    result = run_command(outliers.main, [f"--workdir={run}", "--n=2"], capsys)
    assert "Traceback" not in result.err
    assert not mark.exists()


def zip_of(path: Path, n_bytes: int, *, lies: bool = False) -> Path:
    """A compressed array of zeros, or a header that promises it without the bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {
        "descr": "|u1", "fortran_order": False, "shape": (n_bytes // 64, 64)})
    with (zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
          archive.open("x.npy", "w", force_zip64=True) as member):
        member.write(header.getvalue())
        for _ in range(0 if lies else n_bytes // 2**20):
            member.write(b"\0" * 2**20)
    return path


def test_a_decompression_bomb_is_not_unpacked(tmp_path, monkeypatch):
    """Found by the archive's index: half a GiB in half a MiB."""
    path = zip_of(tmp_path / "bomb.npz", 2**29)
    assert path.stat().st_size < 2**20
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("unpacked"))
    message = raises(npz.read_arrays, path)
    assert "bomb.npz: x" in message
    assert "decompression bomb" in message


@pytest.mark.parametrize("n_bytes", [2**40, 2**62])
def test_a_header_that_promises_more_than_there_is(n_bytes, tmp_path):
    message = raises(npz.read_arrays, zip_of(tmp_path / "lie.npz", n_bytes, lies=True))
    assert "lie.npz: x cannot be read" in message


TRAVERSALS = [
    (detect.main, ["--name=../../x"]), (detect.main, ["--name=/x"]), (detect.main, ["--name=.."]),
    (detect.main, ["--name=a/../../b"]), (outliers.main, ["--method=../../x"]),
    (outliers.main, ["--method=/x"]),
]


@pytest.mark.parametrize(("main", "flags"), TRAVERSALS)
def test_names_lead_nowhere_else(main, flags, run, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    result = run_command(main, [f"--workdir={run}", *flags], capsys)
    assert result.status == 2
    assert result.err.count("\n") == 1, result.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["checkpoints", "figures", "config.json", "metrics.jsonl",
                                  "summary.json", "splits.npz"])
def test_links_out_of_a_folder_are_not_written_through(name, run, tmp_path):
    outside = tmp_path / "outside"
    (run / name).rename(outside)
    (run / name).symlink_to(outside)
    before = {path: path.read_bytes() for path in [outside, *outside.rglob("*")] if path.is_file()}
    message = raises(flowaa.train, config_of(), run)
    assert f"{name} is a link" in message
    after = {path: path.read_bytes() for path in [outside, *outside.rglob("*")] if path.is_file()}
    assert after == before


NUMBERS = [
    (outliers.main, ["--seed=-1"], "seed"), (outliers.main, [f"--seed={2**70}"], "seed"),
    (outliers.main, ["--n=0"], "n is 0"), (outliers.main, ["--n=-5"], "n is -5"),
    (outliers.main, ["--batch_size=0"], "batch_size"),
    (outliers.main, ["--batch_size=100000000000000", "--n=100000000000000"], "GiB"),
    (outliers.main, ["--extremeness=0.5"], "extremeness"),
    (outliers.main, ["--extremeness=nan"], "extremeness"),
    (outliers.main, ["--step=-1"], "no checkpoint of step -1"),
    (outliers.main, ["--label=-1"], "label"),
    (detect.main, ["--detector.steps=-1"], "detector.steps"),
    (detect.main, ["--detector.width=1e30"], "detector.width"),
    (detect.main, ["--detector.shares=(nan,)"], "detector.shares"),
    (outliers.main, ["--step=99"], "no checkpoint of step 99"),
]


@pytest.mark.parametrize(("main", "flags", "word"), NUMBERS)
def test_numbers_that_cannot_be(main, flags, word, run, capsys):
    result = run_command(main, [f"--workdir={run}", *flags], capsys)
    assert result.status == 2
    said = [line for line in result.err.replace("\r", "\n").splitlines()
            if line.startswith("error: ")]
    assert len(said) == 1, result.err
    assert word in said[0]
    assert "Traceback" not in result.err


@pytest.mark.parametrize("main", [train_command.main, archetypes.main, outliers.main, detect.main,
                                  analyse.main])
@pytest.mark.parametrize("workdir", ["/dev/null", "/proc/self/x", "a\0b", "x" * 5000])
def test_folders_that_cannot_be(main, workdir, capsys):
    given = ["--config=configs/default.py:smoke"] if main in (
        train_command.main, archetypes.main) else []
    result = run_command(main, [*given, f"--workdir={workdir}"], capsys)
    assert result.status == 2
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("error: ")


@pytest.mark.parametrize("n", [0, -1, 10**9 * 1000, 2.5, "x", None])
def test_samples_that_cannot_be_asked_for(n, plane_run):
    import jax

    assert raises(plane_run.sample, jax.random.key(0), n)


def test_a_detector_of_a_strangers_folder(run, tmp_path):
    """A run is no detector, an empty folder neither."""
    assert "holds no finished detector" in raises(load_detector, run)
    assert "config.json" in raises(load_detector, tmp_path)
