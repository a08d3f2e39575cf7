"""Runs with archetypes: what they give, how they are staged, and what can be wrong with them."""

import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flowaa
from flowaa.archetypes.classical.comparison import match, weight_error
from flowaa.archetypes.deep.heads import ArchetypeHeads
from flowaa.archetypes.deep.warm_start import StartRows, warm_start
from flowaa.bijectors.base import bound
from flowaa.config.data import build_data
from flowaa.errors import UserError
from flowaa.outliers.plane import coordinates
from flowaa.training.faults.signals import TrainingInterrupted
from tests.training.test_resume import at_step
from tests.training.tiny import config_of, image_config, rows, state_at, summary, train

pytestmark = pytest.mark.usefixtures("no_figures")
K = 3
KELLER = {"data.name": "keller", "archetypes.n_archetypes": K}
WARM_UP = config_of(**KELLER, **{"archetypes.warm_up_steps": 4, "optimizer.ema_decay": 0.9})


@pytest.fixture(scope="module")
def keller(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keller")
    config = config_of(**KELLER, **{"archetypes.side": "scores"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
        train(config, str(folder))
    return folder


@pytest.fixture(scope="module")
def run(keller):
    return flowaa.load_run(keller)


@pytest.fixture(scope="module")
def test_split(run):
    return build_data(run.config).test


def test_summary_has_the_figures_of_archetypes(keller, run, test_split):
    found = summary(keller)
    assert {"test/weight_mae", "test/weight_mae_linear", "test/reconstruction_mse",
            "test/reconstruction_mse_pca", "test/bits_per_dim"} <= set(found)
    weights = np.asarray(run.archetype_weights(test_split.x))
    assert found["test/weight_mae"] == pytest.approx(weight_error(weights, test_split.side))
    decoded = np.asarray(run.decode_weights(weights))
    assert found["test/reconstruction_mse"] == pytest.approx(
        float(np.square(decoded - test_split.x).mean()), rel=1e-4)


def test_weights_and_archetypes_of_a_run(run, test_split):
    assert run.archetypes.shape == (K, K - 1)
    weights = np.asarray(run.archetype_weights(test_split.x))
    assert weights.shape == (len(test_split), K)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    assert weights.min() >= 0
    x = run.decode_weights(np.eye(K))
    assert x.shape == (K, 8)
    assert np.isfinite(run.log_prob(x)).all()  # each archetype has a likelihood
    assert np.isfinite(run.decode_weights([[1.4, -0.2, -0.2]])).all()  # beyond the simplex


def test_outliers_lie_beyond_the_simplex(run):
    """At any return period at which ordinary latents leave it, and further out for longer ones."""
    drawn = [run.draw_outliers(jax.random.key(0), 64, "simplex", extremeness=n)
             for n in (1e3, 1e6)]
    for outliers in drawn:
        assert (outliers.hull_distance > 0).all()
        assert set(np.unique(outliers.nearest_archetype)) <= set(range(K))
    assert (drawn[1].hull_distance > drawn[0].hull_distance).mean() > 0.9
    corners = bound(run.archetype_model.heads, run.archetype_params["heads"]).corners()[0]
    system, z = np.vstack([np.asarray(corners).T, 1e3 * np.ones((1, K))]), np.asarray(drawn[0].z)
    found = np.linalg.lstsq(system, np.vstack([z.T, 1e3 * np.ones((1, len(z)))]), rcond=None)[0]
    np.testing.assert_array_equal(drawn[0].nearest_archetype, found.argmax(0))
    mixtures = jax.random.dirichlet(jax.random.key(1), jnp.ones(K), (20,))
    corners = bound(run.archetype_model.heads, run.archetype_params["heads"]).latent(mixtures)
    np.testing.assert_allclose(coordinates(run.archetype_plane, corners, None), mixtures, atol=1e-3)


@pytest.mark.parametrize("key", ["blur_px", "n_archetypes"])
def test_a_run_of_an_older_config_names_the_key_it_lacks(key, keller, tmp_path):
    shutil.copytree(keller, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    del config["archetypes"][key]
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"lacks the key archetypes.{key};"):
        flowaa.load_run(tmp_path / "run")


def test_a_run_is_a_flow_still(run, test_split):
    z, _ = run.encode(test_split.x)
    np.testing.assert_allclose(run.decode(z), test_split.x, atol=1e-3)


@pytest.mark.parametrize(("call", "message"), [
    (lambda run: run.decode_weights([[0.5, 0.5]]), r"shape \(1, 2\), not \[B, 3\]"),
    (lambda run: run.decode_weights([[0.5, 0.5, 0.5]]), "sum to one"),
    (lambda run: run.archetype_weights(np.zeros((2, 3))), r"x has shape \(2, 3\)"),
])
def test_wrong_arguments_are_told_in_one_line(run, call, message):
    with pytest.raises(UserError, match=message) as caught:
        call(run)
    assert "\n" not in str(caught.value)


def test_a_run_without_archetypes_says_so(plane_run):
    run = plane_run
    for ask in (lambda: run.archetypes, lambda: run.archetype_weights(np.zeros((1, 2))),
                 lambda: run.decode_weights(np.eye(3))):
        with pytest.raises(UserError, match=r"no archetypes; train with .*n_archetypes=3"):
            ask()


def test_archetypes_of_each_class_need_the_class(tmp_path):
    config = image_config(tmp_path / "images.npz", **{
        "archetypes.n_archetypes": K, "archetypes.sets": "per_class", "flow.conditional": False,
        "archetypes.side": "label", "archetypes.prototype": True, "archetypes.start": "random"})
    train(config, str(tmp_path / "run"))
    run = flowaa.load_run(tmp_path / "run")
    with pytest.raises(UserError, match="give label"):
        run.decode_weights(np.eye(K))
    assert run.decode_weights(np.eye(K), label=[0, 1, 2]).shape == (K, 4, 4, 1)


@pytest.mark.parametrize(("overrides", "message"), [
    ({"archetypes.side": "label"}, "archetypes.side=label: the data has no labels"),
    ({"archetypes.sets": "per_class"}, "archetypes.sets=per_class: the data has no labels"),
    ({"archetypes.side": "both"}, "archetypes.side is 'both'; it must be one of none, label"),
    ({"archetypes.start": "side", "archetypes.n_archetypes": 4}, "3 scores for 4 archetypes"),
    ({"archetypes.freeze_flow": True, "archetypes.warm_up_steps": 2}, "frozen flow is not trained"),
    ({"archetypes.freeze_flow": True}, "set archetypes.pretrained to a run of the flow"),
    ({"archetypes.shift_px": 0.0}, "it must be larger than 0"),
    ({"archetypes.warm_up_steps": 3, "training.steps_per_call": 2}, "multiple of"),
    ({"archetypes.n_archetypes": 1}, "must be whole, 0, or 2 or larger"),
    ({"archetypes.blur_px": 1.0}, "are for pictures"),
    ({"archetypes.invariant_to": ("tilt",)}, "it must be one of shift, rotation, scale"),
])
def test_options_that_do_not_fit_are_told_before_anything_is_written(overrides, message, tmp_path):
    with pytest.raises(UserError, match=message):
        train(config_of(**{**KELLER, **overrides}), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_scores_of_data_that_has_none(tmp_path):
    with pytest.raises(UserError, match="the data has no scores"):
        train(config_of(**{"archetypes.n_archetypes": K, "archetypes.side": "scores"}),
              str(tmp_path))


def test_archetypes_of_a_flow_with_context(tmp_path):
    random = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=random.normal(size=(90, 3)), context=random.normal(size=(90, 2)))
    config = config_of(**{"data.name": "arrays", "data.path": str(tmp_path / "x.npz"),
                          "flow.conditional": True, "archetypes.n_archetypes": K})
    with pytest.raises(UserError, match="leave the context out"):
        train(config, str(tmp_path / "run"))


@pytest.fixture(scope="module")
def warmed_up(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warmed_up")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
        train(WARM_UP, str(folder))
    return folder


def test_heads_wait_while_the_flow_warms_up(warmed_up, tmp_path):
    """Until archetypes join, only the likelihood is trained; then they start from the latents."""
    metrics = rows(warmed_up)
    assert all("train/archetype" not in row for row in metrics[:4])
    assert all("train/archetype" in row for row in metrics[4:8])
    train(config_of(**{**KELLER, "archetypes.n_archetypes": 0}), str(tmp_path))
    assert metrics[0]["train/nll"] == pytest.approx(rows(tmp_path)[0]["train/nll"], rel=1e-4)
    # As linear archetypes reconstruct, not as random layers do.
    assert metrics[4]["train/reconstruction"] < 0.3


@pytest.mark.parametrize("stop", [4, 6])
def test_a_run_stopped_where_archetypes_join_or_after_ends_the_same(
    stop, warmed_up, tmp_path, monkeypatch
):
    at_step(monkeypatch, stop, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TrainingInterrupted):
        train(WARM_UP, str(tmp_path))
    train(WARM_UP, str(tmp_path))
    for found, expected in zip(state_at(tmp_path, 8), state_at(warmed_up, 8), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def flow_alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
        train(config_of(**{**KELLER, "archetypes.n_archetypes": 0}), str(folder))
    return folder


def test_a_frozen_flow_is_the_pretrained_one(flow_alone, tmp_path):
    trained = flowaa.load_run(flow_alone)
    config = config_of(**KELLER, **{
        "archetypes.pretrained": str(flow_alone), "archetypes.freeze_flow": True,
        "archetypes.start": "random", "archetypes.vertices": "learned",
        "optimizer.weight_decay": 0.1})
    train(config, str(tmp_path / "run"))
    run = flowaa.load_run(tmp_path / "run")
    for found, expected in zip(jax.tree.leaves(run.params), jax.tree.leaves(trained.params),
                               strict=True):
        np.testing.assert_array_equal(found, expected)
    losses = [row["train/reconstruction"] for row in rows(tmp_path / "run")]
    assert losses[-1] < losses[0]  # the heads learn


@pytest.mark.parametrize(("key", "value", "remedy"), [
    ("flow.width", (16,), r"config\.flow\.width='\(8,\)'"),
    ("seed", 1, r"config\.seed=0"),
    ("flow.mixing", "orthogonal", r"config\.flow\.mixing=permutation"),
    ("flow.clamp", 2.0, r"config\.flow\.clamp=1\.5"),
    ("data.nonlinear", False, r"other data \(mean, std differ\); give the data it was trained on"),
])
def test_a_pretrained_flow_of_another_density_is_refused(key, value, remedy, flow_alone, tmp_path):
    """Equal shapes are not enough: fixed permutations come from the seed."""
    config = config_of(**{**KELLER, "archetypes.pretrained": str(flow_alone), key: value})
    with pytest.raises(UserError, match=rf"archetypes\.pretrained: .*{remedy}$") as caught:
        train(config, str(tmp_path / "run"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_scores_loss_selects_the_step(tmp_path):
    """It is the only one that is trained; without it, every step would be as good."""
    losses = ("nll", "archetype", "reconstruction")
    config = config_of(**KELLER, **{f"archetypes.{name}_weight": 0.0 for name in losses}, **{
        "archetypes.side": "scores", "archetypes.start": "random", "archetypes.side_weight": 1.0,
        "training.evaluate_every_steps": 2, "optimizer.learning_rate": 0.03,
        "optimizer.warmup_steps": 0, "optimizer.schedule": "constant"})
    train(config, str(tmp_path))
    curve = [row["validation/loss"] for row in rows(tmp_path) if "validation/loss" in row]
    assert curve == sorted(curve, reverse=True)
    assert summary(tmp_path)["selected_step"] == 8
    assert summary(tmp_path)["validation/loss"] == pytest.approx(curve[-1])


def test_evaluation_reports_the_whole_weighted_loss(keller):
    """The weighted sum of its parts: log-likelihood, archetypes, reconstruction, scores."""
    found = summary(keller)
    weights = {"nll": 0.1 / 8, "archetype": 10.0, "reconstruction": 80.0, "side": 1.0}
    parts = {name: found[f"test/{name}"] for name in weights}
    assert all(value > 0 for value in parts.values())
    assert found["test/loss"] == pytest.approx(
        sum(weights[name] * value for name, value in parts.items()), rel=1e-4)


def test_what_training_started_from_is_reported_beside_the_result(keller, tmp_path):
    """A run of no use, at a learning rate of 0, ends with the figures of its start."""
    assert {"start/weight_mae", "start/reconstruction_mse"} <= set(summary(keller))
    train(config_of(**KELLER, **{"optimizer.learning_rate": 1e-30}), str(tmp_path))
    found = summary(tmp_path)
    for name in ("weight_mae", "reconstruction_mse"):
        assert found[f"test/{name}"] == pytest.approx(found[f"start/{name}"], rel=1e-4)


def test_variational_baseline_has_weights_and_no_flow(tmp_path):
    config = config_of(**KELLER, **{"archetypes.bottleneck": "variational",
                                    "archetypes.start": "side", "training.steps": 40,
                                    "archetypes.variational_width": 32, "data.nonlinear": False,
                                    "optimizer.learning_rate": 0.01, "optimizer.warmup_steps": 0})
    train(config, str(tmp_path))
    squares = [row["train/reconstruction"] for row in rows(tmp_path) if "train/nll" in row]
    assert np.median(squares[-10:]) < 0.8 * np.median(squares[:10])
    run = flowaa.load_run(tmp_path)
    x = run.decode_weights(np.eye(K))
    np.testing.assert_allclose(run.archetype_weights(x).sum(1), 1.0, atol=1e-5)
    with pytest.raises(UserError, match="no flow"):
        run.encode(x)


@pytest.mark.parametrize("known", [True, False])
def test_warm_start_finds_the_weights_of_linear_mixtures(known):
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.full(K, 0.5), 2_000).astype(np.float32)
    t = weights @ random.normal(size=(K, 6)) * 3 + 0.02 * random.normal(size=(2_000, 6))
    heads = ArchetypeHeads(K, 6, n_side=2)
    params = jax.jit(heads.init)(jax.random.key(0), jnp.zeros((1, 6)))["params"]
    side = weights[:, :2] * 2.0
    params = warm_start(heads, params, StartRows(t, None, side, weights if known else None), seed=0)
    found = heads.apply({"params": params}, jnp.asarray(t, jnp.float32), method="weights")
    assert weight_error(np.asarray(found), weights) < 0.06  # a softmax of a linear map
    latent = heads.apply({"params": params}, jnp.asarray(weights[:, np.argsort(
        match(np.asarray(found), weights))]), method="latent")
    assert np.square(np.asarray(latent) - t).mean() < 0.01
    predicted = heads.apply({"params": params}, found, method="side")
    assert np.abs(predicted - side).mean() < 0.1


def test_warm_start_looks_for_archetypes_within_classes():
    """Classes that lie far apart are not the archetypes of data that knows them."""
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.full(K, 0.5), 2_000).astype(np.float32)
    label = np.arange(2_000) % 4
    t = weights @ random.normal(size=(K, 6)) * 3 + 20.0 * random.normal(size=(4, 6))[label]
    heads = ArchetypeHeads(K, 6, n_classes=4)
    params = jax.jit(heads.init)(jax.random.key(0), jnp.zeros((1, 6)), jnp.zeros(1, int))["params"]
    params = warm_start(heads, params, StartRows(t, label), seed=0)
    fitted = bound(heads, params)
    found = fitted.weights(jnp.asarray(t, jnp.float32), label)
    assert weight_error(np.asarray(found), weights) < 0.06
    latent = fitted.latent(found, label)
    assert np.square(np.asarray(latent) - t).mean() < 0.1


def test_matching_undoes_a_permutation():
    true = np.random.default_rng(0).dirichlet(np.ones(5), 50)
    order = np.array([3, 0, 4, 1, 2])
    assert weight_error(true[:, order], true) == 0.0
    np.testing.assert_array_equal(true[:, order][:, match(true[:, order], true)], true)
