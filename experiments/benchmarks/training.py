"""What a user of `experiments.train` waits for, and what the wait gives."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np

from configs import digits, mixture
from experiments import train as train_command
from experiments.benchmarks import _freia
from flowaa import build
from flowaa.data.pipeline import open_batches
from flowaa.training import parallel
from flowaa.training.state import create_state
from flowaa.training.step import train_step

_ROUNDS = 5
_FREIA_STEPS = 20
_OUR_CALLS = 4


def run() -> dict[str, float]:
    """Trains digits as shipped, times the toy flow beside FrEIA and the thesis's first step."""
    figures = _digits()
    figures |= _toy()
    figures |= _first_step()
    return figures


def _digits() -> dict[str, float]:
    """configs/digits.py as shipped: test bits/dim of the state chosen on validation."""
    with tempfile.TemporaryDirectory() as workdir:
        summary = train_command.train(digits.get_config().lock(), workdir)
    return {
        "digits/test_bits_per_dim": summary["test/bits_per_dim"],
        "digits/validation_bits_per_dim": summary["validation/bits_per_dim"],
        "digits/training_wall_s": summary["wall_s"],
        "digits/steps": summary["steps"],
    }


def _toy() -> dict[str, float]:
    """Training steps per second of the 2-D toy flow, ours and FrEIA's in turn."""
    n_steps, ours = toy_call()
    try:
        freia = _freia.toy_step(batch_size=256, width=64, n_blocks=8, seed=0)
    except ImportError as error:
        print(f"FrEIA is not measured: {error}; pip install -e '.[bench]'")
        return {"toy/ours_steps_per_s": n_steps / _median_s([ours])[0]}
    ours_s, freia_s = _median_s([
        lambda: [ours() for _ in range(_OUR_CALLS)],
        lambda: [freia() for _ in range(_FREIA_STEPS)],
    ])
    ours_rate, freia_rate = _OUR_CALLS * n_steps / ours_s, _FREIA_STEPS / freia_s
    return {
        "toy/ours_steps_per_s": ours_rate,
        "toy/freia_steps_per_s": freia_rate,
        "toy/ours_over_freia": ours_rate / freia_rate,
    }


def toy_call() -> tuple[int, Callable[[], None]]:
    """Steps a call of configs/mixture.py takes, and a function that makes one call and waits."""
    config = mixture.get_config()
    config.optimizer.name = "adam"  # as the peer
    devices = jax.local_devices()[:1]
    dataset = build.build_data(config.data, seed=0)
    density = build.build_density(config, dataset.spec)
    problem = build.build_problem(config, density)
    batches = open_batches(dataset.train, batch_size=256, seed=0, device_bytes=2**30,
                           devices=devices)
    params = density.init(jax.random.key(0), np.asarray(dataset.train.x[np.arange(256)]), None)
    held = [parallel.replicate(create_state(params, problem.optimizer, with_ema=False), devices)]
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

    return n_steps, once


def _first_step() -> dict[str, float]:
    """Seconds from process start to the end of the thesis's first step, without and with cache."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "experiments.benchmarks._first_step", cache],
                           check=True, env=os.environ)
            seconds.append(time.perf_counter() - start)
    return {"thesis/first_step_cold_s": seconds[0], "thesis/first_step_cached_s": seconds[1]}


def _median_s(sides: list[Callable[[], object]]) -> list[float]:
    """Median seconds of each side, measured in turn after a warm-up."""
    times: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for _ in range(_ROUNDS):
        for side, measured in zip(sides, times, strict=True):
            start = time.perf_counter()
            side()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]
