"""Our training step of a config as a function to be timed, or as a program to be measured."""

from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from flowaa import build
from flowaa.data.dataset import Dataset, DataSpec, Split
from flowaa.data.pipeline import open_batches
from flowaa.training import parallel
from flowaa.training.state import create_state
from flowaa.training.step import train_step


def random_images(n: int, side: int) -> Dataset:
    """n random colour images as a data set whose splits are all the same."""
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)
    spec = DataSpec((side, side, 3), n_levels=256, mean=(127.5,) * 3, std=(64.0,) * 3)
    split = Split(images)
    return Dataset("random", spec, split, split, split)


def training_call(config: ConfigDict, dataset: Dataset) -> Callable[[], None]:
    """A function that makes one call of `training.steps_per_call` steps on one device and waits."""
    devices = jax.local_devices()[:1]
    density = build.build_density(config, dataset.spec)
    problem = build.build_problem(config, density)
    batches = open_batches(dataset.train, batch_size=config.training.batch_size, seed=0,
                           device_bytes=2**30, devices=devices)
    rows = batches.order.indices(0)
    x = np.asarray(dataset.train.x[rows])
    y = None if dataset.train.y is None else dataset.train.y[rows]
    create = parallel.compile_once(
        lambda key: create_state(problem.init(key, x, y), problem.optimizer, with_ema=False)
    )
    held = [parallel.replicate(create(jax.random.key(0)), devices)]
    n_steps = config.training.steps_per_call
    call = parallel.compile_training(
        lambda state, batch, key: train_step(state, batch, key, loss=problem.loss,
                                             optimizer=problem.optimizer, ema_decay=0.0),
        batches, devices,
    )

    def once() -> None:
        held[0], metrics = call(held[0], batches.constant, batches.at(0, n_steps),
                                jax.random.key(0))
        jax.block_until_ready(metrics)

    return once
