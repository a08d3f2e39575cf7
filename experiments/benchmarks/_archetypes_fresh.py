"""Fits in a fresh process: `python -m experiments.benchmarks._archetypes_fresh ROWS FITS ROUNDS`.

By the estimator's defaults where ROUNDS is 0, else by `one_start`. Prints a JSON object: the data's
bytes, the process's peak of resident memory (interpreter and libraries included) before the data is
made and after the first fit, and the seconds of each fit.
"""

import json
import resource
import sys
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import flowaa
from experiments.benchmarks._archetype_problems import mixtures

N_FEATURES, N_ARCHETYPES = 64, 8
_SLICE_ROWS = 10_000  # made at a time, so that the memory measured is that of the fit


def make_rows(n_rows: int) -> np.ndarray:
    """Mixtures of eight corners, [n_rows, 64] float32."""
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(N_ARCHETYPES, N_FEATURES))
    x = np.empty((n_rows, N_FEATURES), np.float32)
    for i in range(0, n_rows, _SLICE_ROWS):
        x[i : i + _SLICE_ROWS] = mixtures(rng, min(_SLICE_ROWS, n_rows - i), corners)
    return x


def one_start(n_rounds: int, seed: int) -> flowaa.ArchetypalAnalysis:
    """A single start by FurthestSum, as the peers', that is given up after some rounds."""
    return flowaa.ArchetypalAnalysis(
        N_ARCHETYPES, init="furthest_sum", n_init=1, max_iter=n_rounds, random_state=seed)


def main(n_rows: int, n_fits: int, n_rounds: int) -> None:
    """Fits and prints what it took."""
    estimator = (one_start(n_rounds, 0) if n_rounds
                 else flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=0))
    warnings.simplefilter("ignore", ConvergenceWarning)
    estimator.fit(make_rows(100))  # everything is imported before the clock runs
    before = _peak_bytes()
    x = make_rows(n_rows)
    seconds, peaks = [], []
    for _ in range(n_fits):
        start = time.perf_counter()
        estimator.fit(x)
        seconds.append(time.perf_counter() - start)
        peaks.append(_peak_bytes())
    print(json.dumps({"data_bytes": x.nbytes, "peak_bytes_before": before, "peak_bytes": peaks[0],
                      "fit_s": seconds, "rss": estimator.rss_, "n_iter": estimator.n_iter_}))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
