"""Saved estimators: what is damaged, of another kind or cannot be written is one line."""

import json
import pickle
import re

import numpy as np
import pytest

import flowaa
from flowaa.errors import UserError
from flowaa.estimators.saved import read_arrays, sealed
from flowaa.flow.architecture import Architecture, Stage

ROWS = np.random.default_rng(0).normal(size=(60, 2))
SMALL = Architecture((Stage("none", 2, 16, 1),), law="spline", mixing="orthogonal", spline_bins=4,
                     scan=True)


@pytest.fixture(scope="module")
def density(tmp_path_factory):
    folder = tmp_path_factory.mktemp("density") / "model"
    flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0).fit(
        ROWS, context=ROWS[:, :1]).save(folder)
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "detector.npz"
    flowaa.OutlierDetector(max_seconds=0.1, random_state=0).fit(ROWS).save(path)
    return path


def complaint(load, path):
    """What loading says, if it is one line about the path."""
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "allow_pickle" not in message
    return message


def damaged(load, path):
    return re.search(r"is damaged \(.+\); fit and save again$", complaint(load, path))


def flipped(content, start):
    return content[:start] + bytes(b ^ 255 for b in content[start:start + 4]) + content[start + 4:]


def test_bytes_of_a_density_that_flip_are_noticed(density, tmp_path):
    scores = flowaa.NormalizingFlow.load(density).score_samples(ROWS, context=ROWS[:, :1])
    n_noticed = 0
    for name in ("arrays.npz", "model.json"):
        content = (density / name).read_bytes()
        for index, start in enumerate(np.linspace(0, len(content) - 4, 12).astype(int)):
            folder = tmp_path / f"{name}{index}"
            folder.mkdir()
            for other in ("arrays.npz", "model.json"):
                (folder / other).write_bytes((density / other).read_bytes())
            (folder / name).write_bytes(flipped(content, start))
            try:  # a ZIP archive has bytes that say nothing
                restored = flowaa.NormalizingFlow.load(folder)
            except UserError:
                assert damaged(flowaa.NormalizingFlow.load, folder)
                n_noticed += 1
            else:
                np.testing.assert_array_equal(
                    restored.score_samples(ROWS, context=ROWS[:, :1]), scores)
    assert n_noticed >= 20


def test_numbers_that_were_changed_are_noticed(density, detector, tmp_path):
    """They may be, as they are numbers like others: only the digest tells."""
    arrays = read_arrays(density / "arrays.npz")
    described = json.loads((density / "model.json").read_text())
    for index, (numbers, text) in enumerate([
            (arrays | {"columns/mean": arrays["columns/mean"] + 1e-9}, described),
            (arrays, described | {"validation_score_": 1.0})]):
        folder = tmp_path / str(index)
        folder.mkdir()
        np.savez(folder / "arrays.npz", **numbers)
        (folder / "model.json").write_text(json.dumps(text))
        assert "digest" in complaint(flowaa.NormalizingFlow.load, folder)
    arrays = read_arrays(detector)
    np.savez(tmp_path / "any.npz", **arrays | {"rows": arrays["rows"] + 1e-9})
    assert "digest" in complaint(flowaa.OutlierDetector.load, tmp_path / "any.npz")


@pytest.mark.parametrize("content", [
    b"", b"hello world" * 9, b"\xff\xfe\x00", pickle.dumps(ROWS), b"[]", b"PK\x03\x04"])
def test_what_is_no_file_of_ours_is_a_line(density, tmp_path, content):
    (tmp_path / "any.npz").write_bytes(content)
    assert damaged(flowaa.OutlierDetector.load, tmp_path / "any.npz")
    for name in ("arrays.npz", "model.json"):
        folder = tmp_path / name
        folder.mkdir()
        for other in ("arrays.npz", "model.json"):
            (folder / other).write_bytes((density / other).read_bytes())
        (folder / name).write_bytes(content)
        assert damaged(flowaa.NormalizingFlow.load, folder)


def resealed(folder, described, arrays):
    np.savez(folder / "arrays.npz", **arrays)
    described.pop("sha256")
    (folder / "model.json").write_text(sealed(described, arrays))


@pytest.mark.parametrize("change", [
    {"weights": np.ones(2)}, {"weights": np.full(7, np.nan)}, {"weights": np.ones(7)},
    {"columns/varies": np.ones(5, bool)}, {"columns/varies": np.array([True, False])},
    {"columns/deviation": np.full(2, np.inf)}, {"gaussian_mixture/roots": np.ones((3, 2, 2))},
    {"student_t/degrees": np.array(-1.0)}, {"student_t/shape": -np.eye(2)},
    {"marginals0/tail_shapes": np.full((2, 2), -1.0)}, {"marginals0/knots": None},
    {"columns/deviation": np.zeros(2)}, {"columns/unit": np.array([1.0, -1.0])},
    {"marginals0/steepest": np.zeros(2)}, {"values/has_missing": np.zeros(2)},
    {"values/below": np.zeros(3)}, {"levels": {"unknown": ["a"]}}, {"levels": {"a": [1]}},
    {"context/mean": np.zeros(2)}, {"n_flows": 0}, {"n_flows": 99}, {"n_flows": "a"},
    {"n_features_in_": 7}, {"max_seconds": -1.0}, {"architecture": {"stages": []}},
    {"validation_score_": "x"}, {"params": np.zeros((3, 3))}, {"params": np.nan},
    {"params": None}], ids=lambda change: str(change)[:40].replace("\n", " "))
def test_a_density_that_cannot_be_is_refused_though_its_digest_is_right(density, tmp_path, change):
    described = json.loads((density / "model.json").read_text())
    arrays = read_arrays(density / "arrays.npz")
    (name, value), = change.items()
    if name == "params":
        name = next(name for name in arrays if name.startswith("params"))
        value = arrays[name] * value if isinstance(value, float) else value
    target = described if name in described else arrays
    target[name] = value
    if value is None:
        del target[name]
    resealed(tmp_path, described, arrays)
    assert damaged(flowaa.NormalizingFlow.load, tmp_path)


@pytest.mark.parametrize(("name", "changed"), [
    ("marginals0/scores", lambda scores: scores[:, ::-1]),
    ("marginals0/scores", np.zeros_like), ("marginals0/knots", np.zeros_like),
    ("whitening0/inverse", lambda inverse: 3 * inverse)],
    ids=["falling", "flat", "no knots", "inverse"])
def test_curves_and_maps_that_cannot_be_are_refused(density, tmp_path, name, changed):
    described = json.loads((density / "model.json").read_text())
    arrays = read_arrays(density / "arrays.npz")
    arrays[name] = changed(arrays[name])
    resealed(tmp_path, described, arrays)
    assert damaged(flowaa.NormalizingFlow.load, tmp_path)


@pytest.mark.parametrize("change", [
    {"rows": ROWS[:, 0]}, {"rows": ROWS[:0]}, {"rows": ROWS.astype(str)}, {"rows": ROWS * np.inf},
    {"calibration": np.zeros(0)}, {"calibration": np.full(9, np.nan)}, {"contamination": 7},
    {"levels": 5}, {"levels": {"a": [1]}}, {"seed": "x"}, {"seed": -1}, {"max_seconds": -1},
    {"max_seconds": True}, {"n_seen": "a"}, {"names": ["a"]}],
    ids=lambda change: str(change)[:30].replace("\n", " "))
def test_a_detector_that_cannot_be_is_refused_though_its_digest_is_right(
        detector, tmp_path, change):
    arrays = read_arrays(detector)
    described = json.loads(str(arrays.pop("settings")))
    (name, value), = change.items()
    (described if name in described else arrays)[name] = value
    described.pop("sha256")
    np.savez(tmp_path / "any.npz", settings=np.array(sealed(described, arrays)), **arrays)
    assert damaged(flowaa.OutlierDetector.load, tmp_path / "any.npz")


def test_another_version_or_nothing_at_all_is_said(density, tmp_path):
    described = json.loads((density / "model.json").read_text()) | {"version": 1}
    resealed(tmp_path, described, read_arrays(density / "arrays.npz"))
    assert "version 1" in complaint(flowaa.NormalizingFlow.load, tmp_path)
    for kind in (flowaa.NormalizingFlow, flowaa.OutlierDetector):
        assert "is there" in complaint(kind.load, tmp_path / "nothing")


@pytest.mark.parametrize("where", ["folder", "under a file", "no parent"])
def test_where_nothing_can_be_written_is_a_line_and_nothing_stays(
        density, detector, tmp_path, where):
    (tmp_path / "file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    restored = flowaa.OutlierDetector.load(detector)
    path = {"folder": tmp_path, "under a file": tmp_path / "file" / "x",
            "no parent": tmp_path / "no" / "x.npz"}[where]
    assert "cannot be written" in complaint(restored.save, path)
    model = flowaa.NormalizingFlow.load(density)
    if where != "no parent":  # folders are made
        path = tmp_path / "file" if where == "folder" else path
        assert "cannot be written" in complaint(model.save, path)
    assert sorted(tmp_path.rglob("*")) == before
    assert not list(tmp_path.parent.glob(".*.partial"))
