"""`experiments.analyse`: pictures and figures of a run's archetypes."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments import analyse
from experiments.archetype_pictures import archetype_names
from flowaa.figures import simplex
from tests.commands import run_command
from tests.training.tiny import image_config, train

K = 4


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A conditional run on small images with archetypes."""
    folder = tmp_path_factory.mktemp("analyse")
    config = image_config(folder / "images.npz", **{
        "archetypes.n_archetypes": K, "archetypes.start": "random", "training.steps": 2,
        "training.evaluate_every_steps": 2})
    train(config, str(folder / "run"))
    return folder / "run"


def test_pictures_and_figures(workdir, capsys):
    arguments = [f"--workdir={workdir}", "--label=2", "--triple=0,1,3"]
    result = run_command(analyse.main, arguments, capsys)
    assert result.status == 0, result.err
    for name in ("archetypes", "compared", "paths", "triangle", "recreated", "simplex", "dirichlet",
                 "nearest"):
        assert Image.open(workdir / "figures" / f"{name}.png").width > 300
    summary = json.loads((workdir / "summary.json").read_text())
    shares = [summary[f"archetypes/archetype {index}/mean_weight"] for index in range(K)]
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)
    assert "test/bits_per_dim" in summary  # what training wrote is kept
    assert all(f"archetypes/archetype {index}/bits_per_dim" in summary for index in range(K))


@pytest.mark.parametrize(("arguments", "message"), [
    (["--label=3"], "this run has classes 0 to 2"),
    (["--triple=0,1,4"], "three different archetypes from 0 to 3"),
    (["--triple=0,1,x"], "give three numbers"),
])
def test_wrong_arguments_end_in_one_line(workdir, arguments, message, capsys):
    result = run_command(analyse.main, [f"--workdir={workdir}", *arguments], capsys)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert message in result.err


def test_a_run_without_archetypes_ends_in_one_line(plane, tmp_path, capsys):
    workdir = shutil.copytree(plane, tmp_path / "run")
    result = run_command(analyse.main, [f"--workdir={workdir}"], capsys)
    assert result.status == 2
    assert "this run has no archetypes" in result.err


def test_archetypes_are_named_by_the_scores_they_match():
    import types

    weights = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    split = types.SimpleNamespace(side=weights[:, [2, 0, 1]])
    run = types.SimpleNamespace(spec=types.SimpleNamespace(side_names=("a", "b", "c")))
    dataset = types.SimpleNamespace(test=split)
    assert archetype_names(run, dataset, weights) == ["b", "c", "a"]  # type: ignore[arg-type]


def test_points_stand_at_their_mixtures_of_the_corners(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(simplex, "save", lambda figure, path: drawn.append(figure))
    weights = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0.5, 0.5], [1 / 3] * 3])
    simplex.save_simplex(tmp_path / "s.png", weights, ["a", "b", "c"])
    points = drawn[0].axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, [[0, 1], [0.75**0.5, -0.5], [0, -0.5], [0, 0]], atol=1e-7)
    texts = {text.get_text(): text.get_position() for text in drawn[0].axes[0].texts}
    np.testing.assert_allclose(texts["a"], [0, 1.08], atol=1e-7)


def test_images_of_a_triangle_stand_at_their_mixtures(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(simplex, "save", lambda figure, path: drawn.append(figure))
    from flowaa.archetypes.simplex import grid_weights

    weights = grid_weights(2)
    images = np.arange(len(weights), dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 4, 1))
    simplex.save_image_triangle(tmp_path / "t.png", images, weights, ["a", "b", "c"])
    for image, weight, value in zip(drawn[0].axes[0].images, weights, images, strict=True):
        left, right, bottom, top = image.get_extent()
        np.testing.assert_allclose([(left + right) / 2, (bottom + top) / 2],
                                   weight @ simplex.corners(3), atol=1e-6)
        np.testing.assert_allclose(image.get_array(), value.max() / (len(weights) - 1), atol=1e-6)
