"""Batches that are poisoned and gradients that explode cost their step and no more."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flowaa
from flowaa.config.data import build_data
from flowaa.data.batch_order import BatchOrder
from flowaa.data.dataset import Dataset
from flowaa.errors import FlowaaWarning, UserError
from flowaa.training.faults.skipping import n_skipped, skip_unsound, was_skipped
from flowaa.training.files.finite import only_finite
from flowaa.training.files.metrics_log import RunningMeans
from tests.training.test_resume import Killed, at_step, kill
from tests.training.tiny import config_of, rows, state_at, summary, train, without_wall_s

pytestmark = pytest.mark.usefixtures("no_figures")
SOUND = {"w": jnp.array([0.5, -2.0]), "b": jnp.array(1.0)}


def with_value(value: float) -> dict[str, jax.Array]:
    return {**SOUND, "b": jnp.array(value)}


@pytest.mark.parametrize(("value", "max_norm"), [
    (np.nan, 0.0), (np.inf, 0.0), (-np.inf, 1e8), (np.nan, 1e8), (3e8, 1e8), (1e30, 1e8)])
def test_an_unsound_gradient_changes_nothing_but_the_counts(value, max_norm):
    """The oracle is optax's Adam, which never sees the unsound gradient."""
    plain, skipping = optax.adam(0.1), skip_unsound(optax.adam(0.1), max_norm)
    params = {"w": jnp.ones(2), "b": jnp.zeros(())}
    expected, state, plain_state = params, skipping.init(params), plain.init(params)
    counts = []
    for gradient in (SOUND, with_value(value), with_value(value), SOUND):
        updates, state = skipping.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        counts.append((*n_skipped(state), bool(was_skipped(state))))
        if gradient is SOUND:
            updates, plain_state = plain.update(gradient, plain_state, expected)
            expected = optax.apply_updates(expected, updates)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-7), params, expected)
    assert counts == [(0, 0, False), (1, 1, True), (2, 2, True), (2, 0, False)]


def test_large_gradients_are_taken_where_none_is_too_large():
    skipping = skip_unsound(optax.sgd(1.0), 0.0)
    updates, state = skipping.update(with_value(1e15), skipping.init(SOUND))
    assert updates["b"] == -1e15
    assert n_skipped(state) == (0, 0)


def test_means_are_those_of_the_steps_taken():
    means = RunningMeans()
    for loss, skipped in ((2.0, 0.0), (0.0, 1.0), (1.5, 0.5)):  # the last: (3 + 0) / 2, two steps
        means.add({"loss": jax.device_put(np.array([loss], np.float32)),
                   "skipped": jax.device_put(np.array([skipped], np.float32))})
    assert means.take()["loss"] == pytest.approx((2.0 + 1.5) / 1.5)
    assert means.skipped_calls == [-2, -1]
    means.add({"loss": jnp.zeros(1), "skipped": jnp.ones(1)})
    assert means.take() == {}


def test_skipped_calls_outlive_the_process():
    before = RunningMeans()
    before.add({"loss": jnp.zeros(1), "skipped": jnp.ones(1)})
    after = RunningMeans(before.to_json())
    after.add({"loss": jnp.ones(1), "skipped": jnp.zeros(1)})
    assert after.take() == {"loss": 1.0}
    assert after.skipped_calls == [-2]


def test_figures_that_are_not_finite_are_left_out():
    with pytest.warns(FlowaaWarning, match="^step 3: b, c not finite"):
        assert only_finite({"a": 1.0, "b": np.nan, "c": -np.inf}, "step 3") == {"a": 1.0}


def poisoned(dataset: Dataset, values: dict[int, float]) -> Dataset:
    """The data set with a value of some training rows replaced, behind all checks' back."""
    x = np.array(dataset.train.x)
    for row, value in values.items():
        x[row, 1] = value
    return dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, x=x))


POISON = {3: np.nan, 40: np.inf, 77: 1e30, 101: -1e30}


@pytest.fixture(scope="module")
def config():
    return config_of(**{"training.steps": 24, "training.log_every_steps": 2,
                        "training.evaluate_every_steps": 12, "optimizer.ema_decay": 0.5})


@pytest.fixture(scope="module")
def survivor(config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("survivor")
    data = poisoned(build_data(config), POISON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
        patch.setattr("flowaa.run.train._save_samples", lambda folder, run, dataset: None)
        with pytest.warns(FlowaaWarning) as told:
            flowaa.train(config, folder, data=data)
    (folder / "told.txt").write_text("\n".join(str(warning.message) for warning in told))
    return folder


def test_poisoned_batches_are_survived_counted_and_named(config, survivor):
    dataset = build_data(config)
    order = BatchOrder(len(dataset.train), config.training.batch_size, config.seed)
    hit = [step for step in range(24) if set(order.indices(step)) & POISON.keys()]
    assert 4 <= len(hit) < 12
    assert summary(survivor)["skipped_steps"] == len(hit)
    counted = {row["step"]: row.get("train/skipped_steps", 0) for row in rows(survivor)}
    assert counted == {step: sum(bad < step for bad in hit) for step in range(2, 25, 2)}
    told = (survivor / "told.txt").read_text()
    for row, name in ((3, "3 (nan)"), (40, "40 (inf)"), (77, "77 (1e+30)"), (101, "101 (-1e+30)")):
        if any(row in order.indices(step) for step in hit):
            assert name in told


def test_a_survivor_is_finite_json(survivor):
    for file in ("metrics.jsonl", "summary.json"):
        text = (survivor / file).read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
    assert all(np.isfinite(leaf).all() for leaf in state_at(survivor, 24))
    assert json.loads((survivor / "summary.json").read_text())["test/bits_per_dim"] < 10


def test_a_survivor_goes_on_bit_for_bit(config, survivor, tmp_path, monkeypatch):
    data = poisoned(build_data(config), POISON)
    at_step(monkeypatch, 18, kill)
    with pytest.raises(Killed), pytest.warns(FlowaaWarning, match="steps were skipped"):
        flowaa.train(config, tmp_path, data=data)
    with pytest.warns(FlowaaWarning, match="steps were skipped"):
        flowaa.train(config, tmp_path, data=data)
    assert without_wall_s(rows(tmp_path)) == without_wall_s(rows(survivor))
    assert without_wall_s(summary(tmp_path)) == without_wall_s(summary(survivor))
    for a, b in zip(state_at(tmp_path, 24), state_at(survivor, 24), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_number_of_skipped_steps_in_a_row_ends_training(tmp_path):
    """The first step throws the parameters far away; the checkpoint before stays."""
    config = config_of(**{"training.max_skipped_steps": 3, "optimizer.learning_rate": 1e30,
                          "optimizer.warmup_steps": 0, "training.evaluate_every_steps": 8})
    with pytest.raises(UserError, match=r"gradient, for 3 steps in a row, .* at step [45]; lower "):
        train(config, tmp_path)
    assert (tmp_path / "diverged.json").is_file()
    assert list((tmp_path / "checkpoints").iterdir()) == []
