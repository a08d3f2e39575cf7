"""One device or eight: the same loss and gradient of a global batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flowaa.config.data import build_data
from flowaa.config.flow import build_density
from flowaa.config.problem import build_problem
from flowaa.config.training import build_options
from flowaa.data.batches import Labelled, open_batches
from flowaa.training import parallel
from flowaa.training.evaluation import Evaluation
from flowaa.training.objective import nll_loss
from flowaa.training.state import create_state
from flowaa.training.step import train_step
from tests.training.tiny import config_of, image_config


def problem_of(config):
    dataset = build_data(config)
    density = build_density(config, dataset.spec)
    return dataset, density, build_problem(config, density)


def first_params(density, dataset):
    """Fresh parameters, moved: the output layers' zeros would leave most of a gradient zero."""
    params = parallel.compile_once(density.init)(
        jax.random.key(1), dataset.train.x[:16], dataset.train.y[:16])
    return jax.tree.map(lambda leaf: leaf + 0.05, params)


def step_on(n_devices: int, config):
    """Loss, gradient and parameters of one global batch; plain descent shows the gradient."""
    dataset, density, problem = problem_of(config)
    devices = jax.devices()[:n_devices]
    optimizer = optax.sgd(1.0)
    batches = open_batches(dataset.train, batch_size=16, seed=0, device_bytes=2**30,
                           devices=devices)
    params = first_params(density, dataset)
    state = create_state(params, optimizer, with_ema=False)

    def step(state, batch, key):
        return train_step(state, batch, key, loss=problem.loss, optimizer=optimizer, ema_decay=0.0)

    key = jax.random.key(2)
    call = parallel.compile_training(step, batches, devices, state=state, key=key, n_steps=1)
    after, metrics = call(parallel.replicate(state, devices), batches.constant,
                          batches.at(0, 1), key)
    gradient = jax.tree.map(np.subtract, params, parallel.unreplicate(after.params))
    return parallel.unreplicate(metrics), gradient, after


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "images.npz"


@pytest.mark.parametrize("kind", ["continuous", "discrete", "dropout"])
def test_loss_and_gradient_are_those_of_one_device(kind, path):
    config = config_of()
    if kind != "continuous":
        config = image_config(path, **{"flow.dropout": 0.3 if kind == "dropout" else 0.0})
    metrics, gradient, _ = step_on(1, config)
    metrics_8, gradient_8, after = step_on(8, config)
    for name, value in metrics.items():
        assert metrics_8[name] == pytest.approx(value, rel=1e-5), name
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient))
    assert largest > 0.01
    for a, b in zip(jax.tree.leaves(gradient_8), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * largest)
    for leaf in jax.tree.leaves(after.params):  # all devices hold the same parameters
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))


def test_evaluation_is_that_of_one_device(path):
    config = image_config(path, **{"likelihood.evaluation_samples": 3})
    dataset, density, problem = problem_of(config)
    params = first_params(density, dataset)
    figures = {}
    for n_devices in (1, 8):
        options = build_options(image_config(path, **{"training.n_devices": n_devices}))
        evaluate = Evaluation(problem, options)
        figures[n_devices] = evaluate(parallel.replicate(params, options.devices),
                                      dataset.test, jax.random.key(0))
    assert set(figures[1]) == {"nll", "nll_bound", "bits_per_dim", "bits_per_dim_bound"}
    for name, value in figures[1].items():
        assert figures[8][name] == pytest.approx(value, rel=1e-5), name


def test_evaluation_counts_every_row_once(path):
    """18 test rows in batches of 16: the mean of a direct computation."""
    config = image_config(path, **{"flow.conditional": False})
    dataset, density, problem = problem_of(config)
    options = build_options(config)
    assert len(dataset.test) % options.batch_size
    params = first_params(density, dataset)

    def first_column(params, batch, key):
        first = batch.x.astype(np.float32).reshape(len(batch.x), -1)[:, 0]
        return {"nll": first * batch.y}

    evaluate = Evaluation(dataclasses.replace(problem, values=first_column), options)
    figures = evaluate(parallel.replicate(params, options.devices), dataset.test,
                       jax.random.key(0))
    expected = (dataset.test.x.reshape(len(dataset.test), -1)[:, 0] * dataset.test.y).mean()
    assert figures["nll"] == pytest.approx(expected)
    assert figures["bits_per_dim"] == pytest.approx(expected / (16 * np.log(2)))


def test_dropout_masks_differ_between_examples_and_steps():
    """All rows alike and continuous, without noise: whatever differs is the masks."""
    config = config_of(**{"flow.dropout": 0.5})
    dataset, density, _ = problem_of(config)
    params = first_params(density, dataset)
    loss = jax.jit(nll_loss(density, with_dropout=True))
    row = Labelled(jnp.asarray(dataset.train.x[:1]), jnp.asarray(dataset.train.y[:1]))
    first, second = (np.array([loss(params, row, jnp.array([example_id]), jax.random.key(seed))[0]
                               for example_id in range(8)]) for seed in (0, 1))
    assert len(np.unique(first)) == 8
    assert (first != second).all()


def test_evaluation_noise_is_that_of_any_batch_size(path):
    config = image_config(path)
    dataset, density, problem = problem_of(config)
    params = first_params(density, dataset)
    figures = []
    for batch_size in (16, 5):
        options = build_options(image_config(path, **{"training.batch_size": batch_size}))
        evaluate = Evaluation(problem, options)
        figures.append(evaluate(parallel.replicate(params, options.devices), dataset.test,
                                jax.random.key(0)))
    assert figures[0] == pytest.approx(figures[1], rel=1e-6)
