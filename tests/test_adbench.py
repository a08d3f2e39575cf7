"""`python -m experiments.adbench`: figures, resumption and broken files."""

import json
import subprocess
import sys

import numpy as np
import pytest


def command(folder, *flags):
    return subprocess.run(
        [sys.executable, "-m", "experiments.adbench", f"--data_dir={folder}", *flags],
        capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(size=(60, 3)), random.normal(size=(10, 3)) + 9])
    np.savez(folder / "apart.npz", X=x, y=np.arange(70) >= 60)
    np.savez(folder / "alike.npz", X=random.normal(size=(40, 2)), y=np.arange(40) >= 30)
    (folder / "broken.npz").write_bytes(b"PK")
    return folder


def test_figures_are_flat_and_a_second_run_measures_nothing_again(folder, tmp_path):
    flags = (f"--out={tmp_path}/out.json", "--seeds=0", "--detectors=1-NN,LOF")
    first = command(folder, *flags)
    assert first.returncode == 0, first.stderr
    assert "broken" in first.stderr
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["halves/apart/1-NN/auroc"] == 100.0
    assert figures["halves/apart/1-NN/fpr95"] == 0.0
    values = [figures[f"file_order/{table}/LOF/aupr"] for table in ("apart", "alike")]
    assert figures["file_order/mean/LOF/aupr"] == pytest.approx(np.mean(values))
    log = tmp_path / "out.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:-1], lines[-1][:20]]))  # interrupted while writing
    again = command(folder, *flags)
    assert again.returncode == 0, again.stderr
    measured = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(measured) == len(lines) == 8
    assert measured[:7] == [json.loads(line) for line in lines[:7]]


@pytest.mark.parametrize(("flags", "message"), [
    ((), "--out"), (("--out=x/y.json",), "--out"),
    (("--out=y.json", "--detectors=magic"), "magic"), (("--out=y.json", "--seeds=a"), "--seeds"),
    (("--out=y.json", "--seeds=0,-1"), "--seeds"),
])
def test_wrong_flags_end_in_a_line(folder, flags, message):
    done = command(folder, *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
