"""`experiments.outliers` and `experiments.detect` on a run that takes a second."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import flowaa
from experiments import detect as detect_command
from experiments import outliers as outliers_command
from experiments.detect import detect
from experiments.detector_figures import calibrate, save_plane
from experiments.outlier_figures import grey_rows, save_walks
from experiments.outliers import save_outliers
from flowaa.config.data import build_data
from flowaa.config.detector import build_detector
from flowaa.data.batch_order import batch_order
from flowaa.data.batches import Labelled
from flowaa.detection.calibration import reliability
from flowaa.errors import UserError
from flowaa.figures import canvas, plane
from flowaa.figures import reliability as reliability_figure
from flowaa.outliers.scores import SCORES
from flowaa.training.step import AXIS
from tests.commands import run_command
from tests.training.tiny import config_of, train

TINY = {"steps": 4, "log_every_steps": 2, "evaluate_every_steps": 2, "batch_size": 16, "width": 8,
        "depth": 1, "steps_per_call": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A conditional run on points of two classes."""
    folder = tmp_path_factory.mktemp("run")
    train(config_of(**{"flow.conditional": True}), str(folder))
    return flowaa.load_run(folder)


@pytest.fixture(scope="module")
def dataset(run):
    return build_data(run.config)


def tiny_detector(run, **changes):
    detector = run.config.detector.copy_and_resolve_references().unlock()
    detector.update({**TINY, **changes})
    return detector


def test_file_holds_every_outlier_and_its_numbers(run, tmp_path):
    file = tmp_path / "outliers.npz"
    save_outliers(run, file, method="gumbel", extremeness=1e3, n=50, label=None, seed=4,
                  batch_size=20)
    with np.load(file) as found:
        assert {name: found[name].shape for name in found} == {
            "x": (50, 2), "z": (50, 2), "label": (50,), "log_prob": (50,), "radius": (50,),
            "return_period": (50,), "class_return_period": (50,)}
        np.testing.assert_allclose(
            run.log_prob(found["x"], found["label"]), found["log_prob"], rtol=1e-4)
        last = run.draw_outliers(jax.random.fold_in(jax.random.key(4), 2), 20, "gumbel",
                                 extremeness=1e3)
        np.testing.assert_array_equal(found["x"][40:], last.x[:10])
    assert not list(tmp_path.glob("*.partial"))


def test_nothing_is_left_of_a_file_that_failed(run, tmp_path):
    with pytest.raises(UserError, match="extremeness"):
        save_outliers(run, tmp_path / "outliers.npz", method="shell", extremeness=-1.0, n=5,
                      label=None, seed=0, batch_size=5)
    assert not list(tmp_path.iterdir())


def test_walks_are_drawn(run, tmp_path):
    for picture in save_walks(run, tmp_path, method="shell", label=None, seed=0):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_no_method_replaces_another_s_pictures(run, capsys):
    written = []
    for method in ("shell", "gumbel"):
        result = run_command(outliers_command.main, [
            f"--workdir={run.folder}", f"--method={method}", "--n=4"], capsys)
        assert result.status == 0, result.err
        written.append(set(result.out.split("pictures: ")[1].strip().split(", ")))
    shell, gumbel = ({Path(picture).name for picture in pictures} for pictures in written)
    assert {"outliers_shell.png", "outliers_sigma.png", "return_levels.png"} == shell
    assert {"outliers_gumbel.png", "gumbel_law.png"} == gumbel
    assert all(Path(picture).is_file() for pictures in written for picture in pictures)


def test_rows_in_grey_are_the_data_s_or_are_called_samples(run, dataset, tmp_path):
    name, rows = grey_rows(run, 1, jax.random.key(0))
    assert name == "data"
    known = {tuple(row) for row in np.asarray(dataset.train.x)[dataset.train.y == 1]}
    assert {tuple(row) for row in rows} <= known
    config = run.config.copy_and_resolve_references().unlock()
    config.data.name, config.data.path = "arrays", str(tmp_path / "gone.npz")
    name, rows = grey_rows(dataclasses.replace(run, config=config.lock()), None, jax.random.key(0))
    assert name == "samples of the flow"
    assert rows.shape == (1000, 2)


@pytest.fixture(scope="module")
def trained(run, dataset, tmp_path_factory):
    """A detector's folder, its model, parameters and summary."""
    folder = tmp_path_factory.mktemp("detector")
    return folder, *detect(run, tiny_detector(run), dataset, folder)


def test_detector_trains_and_leaves_a_folder(dataset, trained):
    folder, model, params, summary = trained
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert np.isfinite(list(summary.values())).all()
    for source in ("shell", "box", "noise", "permutation"):
        assert {f"kept_{source}", f"test/auroc_{source}", f"test/kept_{source}"} <= set(summary)
        assert summary[f"kept_{source}"] >= 0.1
    assert {"detector.png", "density.png", "latent_grid.png", "reliability.png", "curves.png"} == {
        path.name for path in (folder / "figures").iterdir()}
    assert model.logits(params, dataset.test.x).shape == (len(dataset.test), 1)


def test_far_outliers_do_not_make_a_speck_of_the_data(run, dataset, trained, tmp_path, monkeypatch):
    figures = {}

    def keep(figure, path):
        figures[path.name] = figure
        canvas.save(figure, path)

    def far(params, key, x):
        return np.where(np.arange(len(x))[:, None] < len(x) // 2, x, 100 * x), np.ones(len(x))

    monkeypatch.setattr(plane, "save", keep)
    save_plane(trained[1], far, trained[2], run, dataset, tmp_path)
    x = np.asarray(dataset.test.x)[:1000]
    low, high = x.min(0), x.max(0)
    for panel in figures["detector.png"].axes[:1] + figures["density.png"].axes[:1]:
        for limits, (least, most) in zip((panel.get_xlim(), panel.get_ylim()),
                                         zip(low, high, strict=True), strict=True):
            assert least - 0.6 * (most - least) < limits[0] < least + 0.1 * (most - least)
            assert most - 0.1 * (most - least) < limits[1] < most + 0.6 * (most - least)
    axes = figures["detector.png"].axes[0]
    outliers = far(None, None, x)[0]
    ends = np.array([axes.get_xlim(), axes.get_ylim()])
    n_outside = ((outliers < ends[:, 0]) | (outliers > ends[:, 1])).any(1).sum()
    caption = figures["detector.png"].get_suptitle()
    assert f"outside the axes: {n_outside} of {len(x)} outliers" in caption
    assert n_outside > len(x) // 3


def test_a_reliability_diagram_counts_its_examples(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(reliability_figure, "save", lambda figure, path: figures.append(figure))
    logits = np.random.default_rng(0).normal(0, 5, 400)
    reliability_figure.save_reliability(
        tmp_path / "r.png", {"one": reliability(logits, logits > 0)})
    outline = figures[0].axes[1].patches[0].get_xy()
    expected, _ = np.histogram(1 / (1 + np.exp(-logits)), bins=20, range=(0, 1))
    np.testing.assert_array_equal(outline[1::2, 1][:20], expected)  # two corners a bar


def test_auroc_is_of_all_draws_and_outliers_are_the_larger(run, dataset, trained):
    """By pairs, with the draws made again from the key that `detect` takes."""
    _, model, params, summary = trained
    _, mixture, _ = build_detector(tiny_detector(run), run.density, run.params, dataset)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(run.config.seed), 2**31 - 3), 2)
    x = np.asarray(dataset.test.x)
    index = mixture.all_sources().index("box")
    drawn, _ = mixture.only("box")(run.params, jax.random.fold_in(key, 1 + index), x)
    inliers, outliers = (np.asarray(model.outlier_logit(model.logits(params, rows)))
                         for rows in (x, drawn))
    pairs = (outliers[:, None] > inliers).mean() + 0.5 * (outliers[:, None] == inliers).mean()
    assert summary["test/auroc_box"] == pytest.approx(pairs, abs=2e-3)


def test_a_detector_is_restored_without_run_and_data(trained, dataset, tmp_path):
    folder, model, params, summary = trained
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    detector = flowaa.load_detector(moved)
    x = np.asarray(dataset.test.x)[:50]
    expected = np.asarray(model.outlier_logit(model.logits(params, x)))
    np.testing.assert_allclose(detector.score(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        detector.probability(x), 1 / (1 + np.exp(-expected / summary["temperature"])), rtol=1e-4)
    with pytest.raises(UserError, match="x has shape"):
        detector.score(np.zeros((3, 5)))
    assert f"{summary['n_params']:,.0f} parameters" in repr(detector)
    assert len(repr(detector)) < 300


def test_the_temperature_is_fitted_on_validation_rows(run, dataset, trained):
    """Other validation rows change it, other training rows do not."""
    _, model, params, summary = trained
    _, mixture, _ = build_detector(tiny_detector(run), run.density, run.params, dataset)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(run.config.seed), 2**31 - 3), 1)
    again = calibrate(model, mixture, params, dataset.validation, key, weight=1.0)
    assert again.value == pytest.approx(summary["temperature"], rel=1e-5)
    other = calibrate(model, mixture, params, dataset.train, key, weight=1.0)
    assert other.value != pytest.approx(summary["temperature"], rel=1e-5)


@pytest.mark.parametrize("spoil", ["nothing", "unfinished"])
def test_a_folder_without_a_finished_detector_is_refused(trained, tmp_path, spoil):
    folder = tmp_path / "detector"
    if spoil == "unfinished":
        shutil.copytree(trained[0], folder)
        (folder / "calibration.json").unlink()
    with pytest.raises(UserError, match=r"no run|no finished detector") as caught:
        flowaa.load_detector(folder)
    assert "\n" not in str(caught.value)


def test_the_loss_weighs_outliers(run, dataset):
    """With weights of 0 and 1, by hand: the mean over the outliers that count."""
    of_detector, _, problem = build_detector(
        tiny_detector(run), run.density, run.params, dataset)
    x = np.asarray(dataset.train.x)[:8]
    weight = np.array([1, 0, 1, 0, 0, 1, 0, 0], np.float32)
    params = jax.jit(problem.init)(jax.random.key(0), Labelled(x, None))
    weighing = dataclasses.replace(of_detector, make_outliers=lambda *_: (x + 3, weight))

    def on_device(x):
        return weighing.loss()(params, Labelled(x, None), jax.numpy.arange(8), jax.random.key(0))

    value, parts = jax.jit(jax.vmap(on_device, axis_name=AXIS))(x[None])
    logits = np.asarray(of_detector.detector.logits(params, x + 3))[:, 0]
    expected = np.log1p(np.exp(-logits))[weight > 0].mean()
    np.testing.assert_allclose(parts["outlier_loss"][0], expected, rtol=1e-4)
    np.testing.assert_allclose(value, parts["inlier_loss"] + parts["outlier_loss"], rtol=1e-6)


@pytest.mark.parametrize("score", [score for score in SCORES if score not in (
    "hull", "discriminator")])
def test_every_score_finds_far_rows_outlying(run, dataset, score):
    x = np.asarray(dataset.test.x)[:40]
    near, far = (np.asarray(run.outlier_score(rows, score)) for rows in (x, x * 30 + 50))
    assert near.shape == (40,)
    assert (far > near.max()).all()


def test_scores_are_what_they_say(run, dataset):
    x = np.asarray(dataset.test.x)[:30]
    np.testing.assert_allclose(run.outlier_score(x, "nll", label=1), -run.log_prob(x, 1), rtol=1e-5)
    marginal = np.mean([np.exp(np.asarray(run.log_prob(x, label))) for label in (0, 1)], 0)
    np.testing.assert_allclose(run.outlier_score(x), -np.log(marginal), rtol=1e-3, atol=1e-3)
    z = np.asarray(run.encode(x, 0)[0])
    np.testing.assert_allclose(run.outlier_score(x, "latent_norm", label=0),
                               np.linalg.norm(z, axis=1), rtol=1e-4)
    train = np.asarray(dataset.train.x)
    np.testing.assert_allclose(run.outlier_score(train[:5], "neighbour"), 0, atol=1e-4)
    typical = np.median(run.outlier_score(dataset.validation.x))
    np.testing.assert_allclose(run.outlier_score(x, "typicality"), np.abs(
        np.asarray(run.outlier_score(x)) - typical), atol=1e-3)


@pytest.mark.parametrize(("score", "message"), [
    ("knn", "score is 'knn'; choose one of nll, latent_norm"),
    ("hull", "this run has no archetypes"),
    ("discriminator", "there is no config.json"),
])
def test_a_score_that_there_is_not_is_refused(run, dataset, score, message):
    with pytest.raises(UserError, match=message) as caught:
        run.outlier_score(dataset.test.x[:2], score)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("adversary", ["generator", "flow"])
def test_each_player_sees_its_own_part_of_the_loss(run, dataset, adversary):
    """The adversary wants its draws taken for real, the classifier wants the opposite."""
    of_detector, _, problem = build_detector(
        tiny_detector(run, kind="classifier", rejects=True, adversary=adversary), run.density,
        run.params, dataset)
    x, y = dataset.train.x[:16], dataset.train.y[:16]
    params = jax.jit(problem.init)(jax.random.key(0), Labelled(x, y))
    key = jax.random.key(1)

    def fooling(adversary_params):
        made = of_detector.generate(adversary_params, jax.random.split(
            jax.random.fold_in(key, 0))[1], 16)
        logits = of_detector.detector.logits(params, made)
        return -jax.nn.log_sigmoid(-of_detector.detector.outlier_logit(logits)).mean()

    def loss(params):
        def on_device(x, y):
            return of_detector.loss()(params, Labelled(x, y, None), jax.numpy.arange(16), key)[0]

        return jax.vmap(on_device, axis_name=AXIS)(x[None], y[None]).mean()

    gradient = jax.jit(jax.grad(loss))(params)
    expected = jax.jit(jax.grad(fooling))(params["adversary"])
    for found, wanted in zip(jax.tree.leaves(gradient["adversary"]), jax.tree.leaves(expected),
                             strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(gradient["network"])) > 0


@pytest.mark.parametrize("adversary", ["none", "flow"])
def test_the_run_s_flow_is_frozen_and_the_adversary_learns(run, dataset, adversary):
    _, _, problem = build_detector(
        tiny_detector(run, adversary=adversary), run.density, run.params, dataset)
    params = jax.jit(problem.init)(jax.random.key(0), Labelled(dataset.train.x[:16], None))
    gradient = jax.tree.map(np.ones_like, params)
    updates, _ = problem.optimizer.update(gradient, problem.optimizer.init(params), params)
    moved = {name: max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(part))
             for name, part in updates.items()}
    assert moved["flow"] == 0
    assert moved["network"] > 0
    assert ("adversary" in moved) == (adversary == "flow")
    assert moved.get("adversary", 1.0) > 0


def test_a_batch_larger_than_the_training_rows_is_made_to_fit(tmp_path, capsys):
    rows = np.random.default_rng(0).standard_normal((40, 3))
    np.savez(tmp_path / "table.npz", x=rows)
    workdir = tmp_path / "run"
    train(config_of(**{"data.name": "arrays", "data.path": str(tmp_path / "table.npz"),
                       **{f"detector.{key}": value for key, value in TINY.items()},
                       "training.batch_size": 8, "detector.batch_size": 256}), str(workdir))
    result = run_command(detect_command.main, [f"--workdir={workdir}"], capsys)
    n_rows = len(build_data(flowaa.load_run(workdir).config).train)
    assert (result.status, f"each step takes {n_rows}\n" in result.err) == (0, True), result.err
    assert (workdir / "detectors/discriminator/summary.json").is_file()


def test_a_batch_that_devices_do_not_divide_names_the_detectors_key():
    with pytest.raises(UserError, match=r"set --detector\.batch_size to a multiple of 8"):
        batch_order(100, batch_size=12, seed=0, n_devices=8, key="--detector.batch_size")


@pytest.mark.parametrize(("changes", "message"), [
    ({"kind": "oracle"}, "detector.kind is 'oracle'; it must be one of discriminator, classifier"),
    ({"network": "conv"}, "detector.network=conv: the data has no images"),
    ({"steps": 3}, "training.steps is 3|log_every_steps"),
    ({"learning_rate": -1.0}, "detector.learning_rate is -1.0"),
])
def test_bad_input_writes_nothing(run, dataset, tmp_path, changes, message):
    changes = {**changes, "steps_per_call": 2} if "steps" in changes else changes
    with pytest.raises(UserError, match=message) as caught:
        detect(run, tiny_detector(run, **changes), dataset, tmp_path / "detector")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "detector").exists()
