"""A process that takes one training step of the thesis's architecture and ends.

`python -m experiments.benchmarks._first_step CACHE` is timed from outside by `training`.
"""

import sys

import jax
import numpy as np

from configs import thesis
from flowaa import build
from flowaa.data.dataset import DataSpec, Split
from flowaa.data.pipeline import open_batches
from flowaa.training import compilation, parallel
from flowaa.training.state import create_state
from flowaa.training.step import train_step


def main(cache: str) -> None:
    """Compiles or reads from the cache, and steps once."""
    compilation.enable_cache(cache)
    config = thesis.get_config()
    spec = DataSpec((32, 32, 3), n_levels=256, mean=(127.5,) * 3, std=(64.0,) * 3)
    density = build.build_density(config, spec)
    problem = build.build_problem(config, density)
    images = np.random.default_rng(0).integers(0, 256, (640, 32, 32, 3), np.uint8)
    devices = jax.local_devices()[:1]
    batches = open_batches(Split(images), batch_size=64, seed=0, device_bytes=2**30,
                           devices=devices)
    create = parallel.compile_once(
        lambda key: create_state(density.init(key, images[:64], None), problem.optimizer,
                                 with_ema=False)
    )
    state = parallel.replicate(create(jax.random.key(0)), devices)
    call = parallel.compile_training(
        lambda state, batch, key: train_step(state, batch, key, loss=problem.loss,
                                             optimizer=problem.optimizer, ema_decay=0.0),
        batches, devices,
    )
    _, metrics = call(state, batches.constant, batches.at(0, 1), jax.random.key(0))
    jax.block_until_ready(metrics)


if __name__ == "__main__":
    main(sys.argv[1])
