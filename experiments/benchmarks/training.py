"""What a user of `experiments.train` waits for, and what the wait gives."""

import subprocess
import sys
import tempfile
import time

from configs import digits, mixture
from experiments import train as train_command
from experiments.benchmarks import _freia, _ours
from experiments.benchmarks._timing import median_s
from flowaa import build

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
    config = mixture.get_config()
    config.optimizer.name = "adam"  # as the peer
    n_steps = _OUR_CALLS * config.training.steps_per_call
    call = _ours.training_call(config, build.build_data(config.data, seed=0))

    def ours() -> None:
        for _ in range(_OUR_CALLS):
            call()

    try:
        freia_step = _freia.toy_step(batch_size=256, width=64, n_blocks=8, seed=0)
    except ImportError as error:
        print(f"FrEIA is not measured: {error}; pip install -e '.[bench]'")
        return {"toy/ours_steps_per_s": n_steps / median_s([ours])[0]}

    def freia() -> None:
        for _ in range(_FREIA_STEPS):
            freia_step()

    ours_s, freia_s = median_s([ours, freia])
    return {
        "toy/ours_steps_per_s": n_steps / ours_s,
        "toy/freia_steps_per_s": _FREIA_STEPS / freia_s,
        "toy/ours_over_freia": (n_steps / ours_s) / (_FREIA_STEPS / freia_s),
    }


def _first_step() -> dict[str, float]:
    """Seconds from process start to the end of the thesis's first step, without and with cache."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "experiments.benchmarks._first_step", cache],
                           check=True)
            seconds.append(time.perf_counter() - start)
    return {"thesis/first_step_cold_s": seconds[0], "thesis/first_step_cached_s": seconds[1]}
