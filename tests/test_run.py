"""A finished run restored: what it was, in data units, and errors of one line."""

import json
import shutil
from pathlib import Path

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flowaa
from flowaa.errors import FlowaaWarning, UserError
from tests.training.tiny import config_of, image_config, summary, train


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A conditional run on small images of 256 levels, pictures included."""
    folder = tmp_path_factory.mktemp("images")
    train(image_config(folder / "images.npz", **{"flow.base": "class_mixture"}),
          str(folder / "run"))
    return folder / "run"


@pytest.fixture(scope="module")
def image_run(images):
    return flowaa.load_run(images)


def some_images(n: int = 6) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, 4, 4, 1), np.uint8)


def test_folder_holds_what_the_readme_promises(images, plane):
    for folder, pictures in ((images, {"curves.png", "samples.png", "data.png"}),
                             (plane, {"curves.png", "samples.png"})):
        assert {path.name for path in (folder / "figures").iterdir()} == pictures
        for picture in pictures:
            assert (folder / "figures" / picture).read_bytes().startswith(b"\x89PNG")
        assert {"config.json", "checkpoints", "metrics.jsonl", "summary.json", "figures",
                "splits.npz"} <= {path.name for path in folder.iterdir()}
        assert list(folder.glob("events.out.tfevents.*"))
        assert not list(folder.rglob("*.partial"))


def test_config_is_the_one_trained_with_and_locked(images, image_run):
    assert image_run.config.is_locked
    assert image_run.config.flow.base == "class_mixture"
    assert image_run.config.training.steps == 8
    saved = json.loads((images / "config.json").read_text())
    assert json.loads(json.dumps(image_run.config.to_dict())) == saved


@pytest.mark.parametrize("label", [1, np.arange(6) % 3])
def test_decode_undoes_encode_level_by_level(image_run, label):
    x = some_images()
    z, log_det = image_run.encode(x, label)
    assert (z.shape, log_det.shape) == ((6, 16), (6,))
    back = image_run.decode(z, label)
    assert back.dtype == jnp.uint8
    np.testing.assert_array_equal(back, x)


def test_decode_undoes_encode_of_points(plane_run):
    x = np.random.default_rng(0).normal(size=(5, 2)) * 3
    z, _ = plane_run.encode(x)
    np.testing.assert_allclose(plane_run.decode(z), x, atol=1e-4)


def test_log_prob_is_that_of_latent_and_log_det(plane_run):
    x = np.random.default_rng(0).normal(size=(5, 2)) * 3
    z, log_det = plane_run.encode(x)
    expected = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)).log_prob(z) + log_det
    np.testing.assert_allclose(plane_run.log_prob(x), expected, rtol=1e-5)
    assert plane_run.bits_per_dim(x) == pytest.approx(
        -float(np.mean(expected)) / (2 * np.log(2)), rel=1e-5)


def test_log_prob_of_levels_is_dequantised_with_a_key_and_in_the_middle_without(image_run):
    x, label = some_images(), np.arange(6) % 3
    middle = image_run.log_prob(x, label)
    np.testing.assert_array_equal(image_run.log_prob(x, label), middle)
    drawn = [image_run.log_prob(x, label, key=jax.random.key(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (np.asarray(drawn[0]) != np.asarray(drawn[2])).all()
    # 16 pixels, one of 256 levels each: as nats, not far from a uniform's.
    assert np.abs(np.asarray(middle) / 16 + np.log(256)).max() < 3


def test_bits_per_dim_on_test_rows_are_the_summarys(plane, plane_run):
    from flowaa.config.data import build_data

    dataset = build_data(plane_run.config)
    assert plane_run.bits_per_dim(dataset.test.x) == pytest.approx(
        summary(plane)["test/bits_per_dim"], rel=1e-5)


def test_averaged_parameters_are_the_ones_restored(images, image_run):
    """The averages lag behind the parameters; both are in the checkpoint."""
    from tests.training.tiny import state_at

    leaves = {leaf.tobytes() for leaf in state_at(images, image_run.step)}
    restored = jax.tree.leaves(image_run.params)
    assert {np.asarray(leaf).tobytes() for leaf in restored} <= leaves


def test_samples_are_data_and_repeat_with_their_key(image_run, plane_run):
    x = image_run.sample(jax.random.key(0), 5, label=2)
    assert (x.shape, x.dtype) == ((5, 4, 4, 1), jnp.uint8)
    np.testing.assert_array_equal(image_run.sample(jax.random.key(0), 5, label=2), x)
    points = plane_run.sample(jax.random.key(0), 500)
    assert points.shape == (500, 2)
    assert np.isfinite(points).all()
    cold = plane_run.sample(jax.random.key(0), 3, temperature=0.0)
    np.testing.assert_allclose(cold, np.broadcast_to(cold[0], (3, 2)), atol=1e-6)


def test_distribution_is_the_run_as_distrax_has_it(image_run, plane_run):
    distribution = plane_run.distribution()
    assert isinstance(distribution, distrax.Distribution)
    assert distribution.event_shape == (2,)
    x = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    found = distribution.log_prob(jnp.asarray(x))
    np.testing.assert_allclose(found.reshape(-1), plane_run.log_prob(x.reshape(-1, 2)), rtol=1e-5)
    draws, log_prob = distribution.sample_and_log_prob(seed=jax.random.key(0), sample_shape=(4,))
    np.testing.assert_allclose(log_prob, plane_run.log_prob(draws), rtol=1e-5)
    assert image_run.distribution(1).sample(seed=jax.random.key(0)).shape == (4, 4, 1)


def test_a_step_can_be_chosen(images):
    figures = summary(images)
    for step in (4, 8):
        run = flowaa.load_run(images, step=step)
        assert run.step == step
        is_measured = step == figures["selected_step"]
        assert run.summary == (figures if is_measured else {})
        line = repr(run).splitlines()[4]
        assert line.endswith(f"{figures['test/bits_per_dim']:.3f} bits/dim" if is_measured
                             else f"no bits/dim of step {step} is known")
    with pytest.raises(UserError, match="no checkpoint of step 5; there are"):
        flowaa.load_run(images, step=5)


@pytest.mark.parametrize(("call", "message"), [
    (lambda run: run.encode(some_images()), "conditional: give label"),
    (lambda run: run.encode(some_images(), label=3), "from 0 to 2"),
    (lambda run: run.encode(some_images(), label=-1), "from 0 to 2"),
    (lambda run: run.encode(some_images(), label=1.0), "integers"),
    (lambda run: run.encode(some_images(), label=[0, 1]), r"label has shape \(2,\)"),
    (lambda run: run.encode(some_images()[..., 0], label=0), r"x has shape \(6, 4, 4\)"),
    (lambda run: run.decode(np.zeros((2, 15)), label=0), r"z has shape \(2, 15\)"),
    (lambda run: run.sample(jax.random.key(0), 0, label=0), "at least one"),
    (lambda run: run.sample(jax.random.key(0), 2, label=0, temperature=-1.0), "temperature"),
    (lambda run: run.sample(jax.random.key(0), 2, label=0, temperature=float("nan")),
     "temperature"),
    (lambda run: run.distribution(), "conditional: give label"),
    (lambda run: run.distribution(7), "from 0 to 2"),
])
def test_wrong_arguments_are_told_in_one_line(image_run, call, message):
    with pytest.raises(UserError, match=message) as caught:
        call(image_run)
    assert "\n" not in str(caught.value)


def test_a_label_to_data_without_labels(tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).normal(size=(60, 2)))
    train(config_of(**{"data.name": "arrays", "data.path": str(tmp_path / "rows.npz"),
                       "training.steps": 1, "training.evaluate_every_steps": 1}),
          str(tmp_path / "run"))
    run = flowaa.load_run(tmp_path / "run")
    with pytest.raises(UserError, match="no labels; leave it out"):
        run.log_prob(np.zeros((1, 2)), label=0)


@pytest.mark.parametrize("damaged", [
    b"{", b"\xff\xfe\xfa", b"[1]", b"null", b'{"test/bits_per_dim": "low"}'])
def test_a_damaged_summary_blocks_no_run(plane, plane_run, tmp_path, damaged):
    shutil.copytree(plane, tmp_path / "run")
    file = tmp_path / "run" / "summary.json"
    file.write_bytes(damaged)
    with pytest.warns(FlowaaWarning, match=r"summary\.json is damaged: its figures are left out"):
        run = flowaa.load_run(tmp_path / "run")
    assert (run.step, run.summary) == (plane_run.step, {})
    assert "no bits/dim of step" in repr(run)
    plane_run.save(tmp_path / "saved")
    saved = tmp_path / "saved" / "summary.json"
    saved.write_bytes(damaged)
    with pytest.warns(FlowaaWarning, match=r"summary\.json is damaged"):
        plane_run.save(tmp_path / "saved")
    assert json.loads(saved.read_text()) == plane_run.summary


def test_what_is_saved_is_no_training_and_takes_the_place_of_none(plane, plane_run, tmp_path):
    shutil.copytree(plane, tmp_path / "run")
    with pytest.raises(UserError, match="can be trained on; save in another folder"):
        plane_run.save(tmp_path / "run")
    plane_run.save(tmp_path / "saved")
    with pytest.raises(UserError, match="nothing that training goes on from"):
        flowaa.train(plane_run.config, tmp_path / "saved")
    going_on = flowaa.train(plane_run.config, tmp_path / "run")  # as it was
    assert going_on.step == plane_run.step


def test_a_workdir_is_a_path():
    for workdir in ("", None, 3):
        with pytest.raises(UserError, match="workdir is"):
            flowaa.load_run(workdir)


def test_folders_that_hold_no_run(tmp_path, plane):
    for workdir in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=r"holds no run: there is no config\.json"):
            flowaa.load_run(workdir)
    (tmp_path / "config.json").write_text((plane / "config.json").read_text())
    with pytest.raises(UserError, match="no checkpoint yet; train first"):
        flowaa.load_run(tmp_path)
    for damaged in ('{"seed": 0, "da', "[1]", "7", '"text"', "null"):
        (tmp_path / "config.json").write_text(damaged)
        with pytest.raises(UserError, match=r"config\.json is damaged"):
            flowaa.load_run(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        flowaa.load_run(tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="holds no run"):
        flowaa.load_run(file)


def test_a_run_of_an_older_config_says_which_key_it_lacks(plane, tmp_path):
    workdir = shutil.copytree(plane, tmp_path / "run")
    config = json.loads((workdir / "config.json").read_text())
    del config["flow"]["clamp"]
    (workdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"lacks the key flow\.clamp; .* older flowaa"):
        flowaa.load_run(workdir)


def test_restoring_leaves_the_folder_as_it_is(plane, tmp_path):
    workdir = shutil.copytree(plane, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    run = flowaa.load_run(str(workdir))
    run.sample(jax.random.key(0), 2)
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before
