"""What a user of `experiments.train` waits for, and what the wait gives."""

import subprocess
import sys
import tempfile
import time

import numpy as np
from sklearn.mixture import GaussianMixture

import flowaa
from experiments.benchmarks import flows
from flowaa.config.data import build_data
from flowaa.configs import digits


def run() -> dict[str, float]:
    """Trains digits as shipped, times the toy flow beside FrEIA and the thesis's first step."""
    figures = _first_step()  # before this process has threads of its own that could be in the way
    figures |= _digits()
    figures |= flows.toy(flows.import_peers("freia"))
    return figures


def _digits() -> dict[str, float]:
    """configs/digits.py as shipped: test bits/dim of the state chosen on validation."""
    with tempfile.TemporaryDirectory() as workdir:
        summary = flowaa.train(digits.get_config().lock(), workdir).summary
    return {
        "digits/test_bits_per_dim": summary["test/bits_per_dim"],
        "digits/validation_bits_per_dim": summary["validation/bits_per_dim"],
        "digits/training_wall_s": summary["wall_s"],
        "digits/steps": summary["steps"],
        "digits/mixture_bits_per_dim": _mixture_bits_per_dim(),
    }


def _mixture_bits_per_dim() -> float:
    """Of dequantised test rows under the Gaussian mixture that is best on validation."""
    dataset, random = build_data(digits.get_config()), np.random.default_rng(0)
    train, validation, test = (
        (rows := np.asarray(split.x[np.arange(len(split))], np.float64).reshape(len(split), -1))
        + random.uniform(size=rows.shape)
        for split in (dataset.train, dataset.validation, dataset.test))
    laws = [GaussianMixture(n, reg_covar=reg, random_state=0).fit(train)
            for n in (1, 2, 5, 10, 20) for reg in (0.03, 0.1)]
    best = max(laws, key=lambda law: law.score(validation))
    return -best.score(test) / (test.shape[1] * np.log(2))


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
