"""A fit of 10^6 rows in a fresh process: `python -m experiments.benchmarks._million_fresh NAME`.

NAME is `density`, `mixture` or `detector`. Prints a JSON object of what it took.
"""

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.mixture import GaussianMixture

import flowaa

N_ROWS, N_FEATURES = 1_000_000, 32
_N_TEST, _N_SCORED, _N_FEW = 5_000, 20_000, 1_000
_SLICE_ROWS = 10_000  # made at a time, so that the memory measured is that of the fit


def make_rows(n: int, seed: int) -> np.ndarray:
    """Three clouds, bent and skewed, [n, 32]."""
    shape, rng = np.random.default_rng(0), np.random.default_rng(seed)
    mix = shape.normal(size=(3, 16, N_FEATURES)) / 4
    centres = 2 * shape.normal(size=(3, N_FEATURES))
    x = np.empty((n, N_FEATURES))
    for i in range(0, n, _SLICE_ROWS):
        m = min(_SLICE_ROWS, n - i)
        cloud = rng.integers(3, size=m)
        hidden = rng.normal(size=(m, 16))
        part = centres[cloud] + np.einsum("nk,nkd->nd", hidden, mix[cloud])
        part[:, :8] += 0.5 * part[:, 8:16] ** 2
        x[i:i + m] = part + 0.3 * rng.gamma(1.0, size=(m, N_FEATURES))
    return x


def _density(x: np.ndarray) -> dict[str, float]:
    model = flowaa.NormalizingFlow(max_seconds=60, random_state=0)
    wall_s = _seconds(lambda: model.fit(x))
    return {"wall_s": wall_s, "peak": _peak_bytes(), "log_likelihood": model.score(_test())}


def _mixture(x: np.ndarray) -> dict[str, float]:
    """The best by BIC of four numbers of components, of 10^5 rows."""
    best = min((GaussianMixture(k, random_state=0).fit(x[:100_000]) for k in (1, 3, 10, 20)),
               key=lambda law: law.bic(x[:100_000]))
    return {"log_likelihood": best.score(_test()), "peak": _peak_bytes()}


def _detector(x: np.ndarray) -> dict[str, float]:
    model = flowaa.OutlierDetector(max_seconds=60, random_state=0)
    wall_s, peak = _seconds(lambda: model.fit(x)), _peak_bytes()
    new = make_rows(_N_SCORED, seed=3)
    model.score_samples(new[:100])
    score_s = _seconds(lambda: model.score_samples(new))
    return {"wall_s": wall_s, "peak": peak, "rows_scored_a_second": _N_SCORED / score_s}


def main(name: str) -> None:
    """Fits, and prints wall seconds, memory beyond the rows' own over theirs, and quality."""
    warnings.simplefilter("ignore")
    fit = {"density": _density, "mixture": _mixture, "detector": _detector}[name]
    x = make_rows(N_ROWS, seed=1)
    imported = _peak_bytes()
    # What libraries and compilers take whatever the data, by a fit of a few rows.
    fit(x[:_N_FEW])
    before = _peak_bytes()
    found = fit(x)
    peak = found.pop("peak")
    found["memory_over_data"] = 1 + (peak - before) / x.nbytes
    found["memory_over_data_with_libraries"] = 1 + (peak - imported) / x.nbytes
    print(json.dumps(found))


def _test() -> np.ndarray:
    return make_rows(_N_TEST, seed=2)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1])
