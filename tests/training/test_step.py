"""A training step against its formulas: averages, clipping, decay, keys."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowaa.config.data import build_data
from flowaa.config.flow import build_density
from flowaa.config.optimizer import build_optimizer
from flowaa.config.problem import build_problem
from flowaa.data.batches import Labelled
from flowaa.run import load_run
from flowaa.training.state import create_state
from flowaa.training.step import train_step
from tests.training.tiny import config_of, image_config, rows, train

BATCH = Labelled(np.zeros((1, 2, 1), np.float32), None)


def steps(n, loss, optimizer, params, *, ema_decay=0.0):
    """States and metrics after 1 … n steps on one device."""
    state = create_state(params, optimizer, with_ema=ema_decay > 0)
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state)
    step = jax.pmap(functools.partial(train_step, loss=loss, optimizer=optimizer,
                                      ema_decay=ema_decay),
                    axis_name="batch", in_axes=(0, 0, None), devices=jax.devices()[:1])
    states, metrics = [], []
    for _ in range(n):
        state, figures = step(state, BATCH, jax.random.key(7))
        states.append(jax.tree.map(lambda leaf: np.asarray(leaf[0]), state))
        metrics.append({name: np.asarray(value[0]) for name, value in figures.items()})
    return states, metrics


def slope(params, batch, example_ids, key):
    """A loss whose gradient is 1, with a draw of the step's key."""
    return params["w"], {"draw": jax.random.uniform(key)}


def test_averaged_parameters():
    """w falls by 1 a step; the average is ema ← d ema + (1 − d) w, d = (1 + t) / (10 + t)."""
    states, _ = steps(4, slope, optax.sgd(1.0), {"w": jnp.zeros(())}, ema_decay=0.2)
    expected = 0.0
    for t, state in enumerate(states):
        decay = min(0.2, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * -(t + 1.0)
        assert state.params["w"] == -(t + 1.0)
        assert state.ema_params["w"] == pytest.approx(expected, rel=1e-6)


def test_each_step_has_a_key_of_its_own():
    """The key of the step after t steps is the run's, folded with t."""
    _, metrics = steps(3, slope, optax.sgd(1.0), {"w": jnp.zeros(())})
    expected = [jax.random.uniform(jax.random.fold_in(jax.random.key(7), t)) for t in range(3)]
    np.testing.assert_array_equal([figures["draw"] for figures in metrics], expected)


@pytest.mark.usefixtures("no_figures")
def test_an_averaged_run_trains_the_same_and_evaluates_the_average(plane, tmp_path):
    train(config_of(**{"optimizer.ema_decay": 0.9}), tmp_path / "averaged")
    plain, averaged = rows(plane), rows(tmp_path / "averaged")
    assert [row["train/nll"] for row in averaged] == [row["train/nll"] for row in plain]
    assert averaged[-1]["validation/nll"] != plain[-1]["validation/nll"]
    run = load_run(tmp_path / "averaged", step=8)
    data = build_data(run.config).validation
    nll = -np.asarray(run.log_prob(np.asarray(data.x))).mean()
    assert averaged[-1]["validation/nll"] == pytest.approx(nll, rel=1e-5)


def test_gradients_are_clipped():
    """As Adam on gradients of length 1: its second step would else be all but the first's."""
    optimizer = build_optimizer(config_of(**{
        "optimizer.name": "adam", "optimizer.clip_norm": 1.0, "optimizer.schedule": "constant",
        "optimizer.warmup_steps": 0, "optimizer.learning_rate": 0.1}))
    updates = {}
    for name, candidate, gradients in (("ours", optimizer, (1000.0, 1.0)),
                                       ("Adam", optax.adam(0.1), (1.0, 1.0))):
        state = candidate.init(jnp.zeros(()))
        for gradient in gradients:
            updates[name], state = candidate.update(jnp.asarray(gradient), state, jnp.zeros(()))
    assert updates["ours"] == pytest.approx(float(updates["Adam"]), rel=1e-5)


def test_kernels_alone_are_decayed(tmp_path):
    """Without a gradient the update of AdamW is the decay, − learning rate · decay · parameter."""
    config = image_config(tmp_path / "data.npz", **{
        "optimizer.weight_decay": 0.5, "optimizer.warmup_steps": 0, "optimizer.learning_rate": 0.1,
        "optimizer.schedule": "constant", "flow.base": "class_mixture",
        "flow.mixing": "invertible_linear", "archetypes.n_archetypes": 3,
        "archetypes.vertices": "learned", "archetypes.weight_norm": True,
        "archetypes.side": "label",
    })
    dataset = build_data(config)
    problem = build_problem(config, build_density(config, dataset.spec), dataset)
    params = jax.tree.map(
        lambda shape: jnp.ones(shape.shape),
        jax.eval_shape(problem.init, jax.random.key(0),
                       Labelled(dataset.train.x[:4], dataset.train.y[:4])))
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = problem.optimizer.update(zeros, problem.optimizer.init(params), params)
    decayed = {}
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        decayed.setdefault(path[-1].key, set()).add(round(float(np.abs(update).max()), 6))
    assert decayed.pop("kernel") == {0.05}
    assert {"bias", "means", "log_scales", "vertices", "length", "log_scale"} <= set(decayed)
    assert set().union(*decayed.values()) == {0.0}


@pytest.mark.usefixtures("no_figures")
def test_a_conditional_loss_is_that_of_the_labels(tmp_path):
    config = image_config(tmp_path / "data.npz", **{"flow.dropout": 0.0})
    dataset = build_data(config)
    density = build_density(config, dataset.spec)
    x, y = jnp.asarray(dataset.train.x[:8]), jnp.asarray(dataset.train.y[:8])
    params = jax.tree.map(lambda leaf: leaf + 0.05, jax.jit(density.init)(
        jax.random.key(0), x, y))
    key, ids = jax.random.key(1), jnp.arange(8)
    _, metrics = jax.jit(build_problem(config, density).loss)(params, Labelled(x, y), ids, key)
    noise = density.noise(jax.random.split(key)[0], ids)
    log_prob = jax.jit(density.log_prob)
    expected = [-log_prob(params, x, label, noise).mean() for label in (y, 0 * y)]
    assert metrics["nll"] == pytest.approx(float(expected[0]), rel=1e-5)
    assert abs(expected[0] - expected[1]) > 1e-3
