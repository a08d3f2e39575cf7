"""`python -m experiments.adbench`: figures, resumption and broken files."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks import _tabular_detectors as detectors
from experiments.benchmarks._ranks import Ranks, rank
from experiments.benchmarks._tabular_figures import summarise


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
    np.savez(folder / "vast.npz", X=1e200 * x, y=np.arange(70) >= 60)
    return folder


def test_figures_are_flat_and_a_second_run_measures_nothing_again(folder, tmp_path):
    flags = (f"--out={tmp_path}/out.json", "--seeds=0", "--detectors=1-NN,LOF")
    first = command(folder, *flags)
    assert first.returncode == 0, first.stderr
    assert "broken" in first.stderr
    assert "vast: holds a value beyond 1e+150" in first.stderr
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


def test_outliers_in_training_are_left_out_of_the_test_and_the_loss_is_theirs(folder, tmp_path):
    done = command(folder, f"--out={tmp_path}/out.json", "--seeds=0", "--detectors=1-NN",
                   "--contamination=0.2")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out.json").read_text())
    # 30 inliers take 7.5 outliers, and half of the 10 are 5.
    assert figures["halves/apart/1-NN/mixed_percent"] == pytest.approx(100 * 5 / 35)
    assert figures["halves/apart/1-NN/clean_auroc"] == 100.0
    with np.load(folder / "apart.npz") as table:
        y = detectors.split_halves(table["X"], table["y"].astype(int), "seed_0")[2]
    kept, mixed = detectors._draw_mixed(30, y, detectors.Job("apart.npz", "seed_0", "1-NN", 0.2))
    assert y[mixed].all()
    assert sorted([*kept, *mixed]) == list(range(len(y)))
    assert figures["halves/apart/1-NN/loss"] == pytest.approx(
        100 - figures["halves/apart/1-NN/auroc"])


def test_false_alarms_and_discoveries_are_counted():
    inliers, outliers = np.linspace(0.02, 1, 50), np.full(3, 1e-6)
    p, y = np.concatenate([inliers, outliers]), np.arange(53) >= 50
    alarms = detectors._alarms(p, p, y, seed=0)
    assert [alarms[f"alarms_{level}"] for level in (1, 5, 10)] == [0.0, 0.04, 0.1]
    assert (alarms["fdp"], alarms["power"]) == (0.0, 100.0)
    all_alike = detectors._alarms(p, np.full(53, 1e-6), y, seed=0)
    assert all_alike["fdp"] == pytest.approx(100 * 50 / 53)


@pytest.mark.parametrize(("n_train", "as_stated"), [(38, 1.0), (10_000, 0.0)])
def test_a_rate_is_as_stated_within_the_spread_of_calibration_and_test(n_train, as_stated):
    """At 10 % with 100 test rows: 3 √(0.09 (1/100 + 1/(n + 2))), 0.168 and 0.090."""
    row = {"table": "t", "split": "seed_0", "detector": "ours", "n_inliers": 100,
           "n_train": n_train, "alarms_10": 0.22}
    assert summarise([row])["halves/as_stated/ours/alarms_10"] == as_stated


def test_ranks_and_their_critical_difference_are_the_published_ones():
    """Demsar 2006: four classifiers, 14 data sets: 2.569 sqrt(4 · 5 / (6 · 14)) = 1.25."""
    random = np.random.default_rng(0)
    scores = {name: dict(enumerate(random.normal(size=14) + shift))
              for name, shift in (("a", 9), ("b", 0), ("c", 0), ("d", -9))}
    ranks = rank(scores)
    assert ranks.critical_difference == pytest.approx(1.25, abs=0.005)
    assert (ranks.mean["a"], ranks.mean["d"]) == (1.0, 4.0)
    assert ranks.mean["b"] + ranks.mean["c"] == pytest.approx(5.0)
    assert ranks.friedman_p < 1e-6
    assert ["a", "d"] not in [sorted(group) for group in ranks.groups()]
    assert sorted(ranks.groups()[0])[-1] in ("b", "c")


def test_ties_share_ranks_and_tables_that_one_lacks_do_not_count():
    scores = {"a": {"t": 1.0, "u": 3.0, "v": 9.0}, "b": {"t": 1.0, "u": 2.0},
              "c": {"t": 0.0, "u": 2.0}}
    ranks = rank(scores)
    assert ranks.n_tables == 2
    assert ranks.mean == {"a": (1.5 + 1) / 2, "b": (1.5 + 2.5) / 2, "c": (3 + 2.5) / 2}
    assert rank({name: scores[name] for name in "ab"}) is None  # Friedman's test needs three
    assert rank({name: {"t": of_one["t"]} for name, of_one in scores.items()}) is None


def test_a_group_is_the_largest_in_which_no_pair_differs():
    """Mean ranks 1, 2, 3 and 6 with a critical difference of 1.5."""
    ranks = Ranks({"d": 6.0, "b": 2.0, "a": 1.0, "c": 3.0}, 9, 0.01, 1.5)
    assert ranks.groups() == [["a", "b"], ["b", "c"]]
    assert Ranks(ranks.mean, 9, 0.01, 2.5).groups() == [["a", "b", "c"]]


def test_dte_np_is_the_mean_distance_of_five_neighbours():
    train = np.arange(8.0)[:, None]
    found = detectors.DETECTORS["DTE-NP"](train, np.array([[-1.0], [3.5]]), 0)
    np.testing.assert_allclose(found, [3.0, (0.5 + 0.5 + 1.5 + 1.5 + 2.5) / 5])


def test_ranks_of_three_detectors_are_drawn(folder, tmp_path):
    flags = (f"--out={tmp_path}/out.json", "--seeds=0", "--detectors=1-NN,5-NN,DTE-NP")
    done = command(folder, *flags)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out.json").read_text())
    assert sum(figures[f"halves/mean_rank/{name}"]
               for name in ("1-NN", "5-NN", "DTE-NP")) == pytest.approx(6.0)
    width, height = Image.open(tmp_path / "out.png").size
    assert min(width, height) >= 600
    done = command(folder, *flags[:2], "--detectors=1-NN,5-NN")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out.png").exists()  # of figures that are no longer beside it


@pytest.mark.parametrize(("flags", "message"), [
    ((), "--out"), (("--out=x/y.json",), "--out"), (("--out=y.jsonl",), "does not end in .json"),
    (("--out=y.json", "--detectors=magic"), "magic"), (("--out=y.json", "--seeds=a"), "--seeds"),
    (("--out=y.json", "--seeds=0,-1"), "--seeds"),
    (("--out=y.json", "--contamination=0.7"), "contamination"),
    (("--out=y.json", "--detectors=ours_stated"), "ours_stated"),
])
def test_wrong_flags_end_in_a_line(folder, flags, message):
    done = command(folder, *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
