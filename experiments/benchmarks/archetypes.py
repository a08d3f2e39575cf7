"""Archetypal analysis beside `archetypes`, `archetypax` and `py_pcha`: residuals, time, memory.

About four minutes on two idle cores, most of it the peers' fits. A peer that is not installed is
named in a line and left out. All data are float32, and all settings are the libraries' own except
where a line below says otherwise.
"""

import itertools
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

import flowaa
from experiments.benchmarks import _archetype_peers as peers
from experiments.benchmarks._archetype_problems import (
    Problem,
    exact_rss,
    hull_archetypes,
    problems_without_corners,
    random_problems,
)
from experiments.benchmarks._archetypes_fresh import N_ARCHETYPES, make_rows, one_start

Figures = dict[str, float]

# `archetypes` keeps an n × n matrix, archetypax compiles anew in every iteration.
_PEER_MAX_ROWS = {"archetypes": 4_000, "archetypax": 1_000, "py_pcha": 20_000}
_RACE_ROWS, _RACE_PEER_ITERATIONS, _RACE_ROUNDS = 5_000, 60, 5
_WITHIN = 1e-3  # of the best residual sum of squares: a race is won
_SCALES = tuple(10.0**power for power in range(-4, 5))


def run() -> Figures:
    """All figures; `*_over_best` are relative excesses, 0 being the best."""
    warnings.filterwarnings("ignore")  # of the peers
    found = peers.import_peers()
    figures = _scale_invariance() | _memory()
    figures |= _race(found)
    figures |= _residuals("", random_problems(), found)
    return figures | _residuals("without_corners/", problems_without_corners(), found)


def _residuals(prefix: str, problems: list[Problem], found: dict[str, peers.Peer]) -> Figures:
    """The worst excess of each solver over the best of all, and how well constraints hold."""
    worst: Figures = {}
    sums, outside = 0.0, 0.0
    for problem in tqdm(problems, "problems"):
        x, rss = problem.x, {}
        fitted = flowaa.ArchetypalAnalysis(problem.n_archetypes, random_state=0).fit(x)
        archetypes = hull_archetypes(x, fitted.data_weights_)
        rss["ours"] = exact_rss(x, archetypes)
        for weights in (fitted.weights_, fitted.data_weights_):
            sums = max(sums, float(np.abs(weights.sum(1, dtype=np.float64) - 1.0).max()))
            outside = max(outside, -float(weights.min()))
        outside = max(outside, float(np.abs(archetypes - fitted.archetypes_).max() / x.std()))
        for name, peer in found.items():
            package = "archetypes" if name.startswith("archetypes_") else name
            if len(x) > _PEER_MAX_ROWS[package]:
                continue
            try:
                rss[name] = exact_rss(
                    x, peer(x, problem.n_archetypes, 0, peers.ITERATIONS[name]))
            except Exception as error:  # whatever a peer fails with is a finding, not ours to mend
                tqdm.write(f"{name} failed on {problem.name}: {error!r}")
        best = min(rss.values())
        excess = {name: value / best - 1.0 for name, value in rss.items()}
        tqdm.write(f"{problem.name:28}" + "  ".join(f"{name} {value:.1e}"
                                                    for name, value in excess.items()))
        for name, value in excess.items():
            worst[name] = max(worst.get(name, 0.0), value)
    figures = {f"{prefix}rss_over_best/{name}": value for name, value in worst.items()}
    return figures | {f"{prefix}weights_sum_max_error": sums,
                      f"{prefix}outside_hull_max_share": outside}


def _race(found: dict[str, peers.Peer]) -> Figures:
    """Seconds to within 0.1 % of the best RSS, of one start by FurthestSum each.

    A peer tells its loss after every iteration; ours is fitted anew with one round more until it
    is there. Its default fit, which compares ten starts and goes on to convergence, stands beside.
    """
    x = make_rows(_RACE_ROWS)
    curves: dict[str, tuple[np.ndarray, float]] = {}
    for method in peers.ARCHETYPES_METHODS:
        if f"archetypes_{method}" in found:
            model = peers.archetypes_model(method, N_ARCHETYPES, 0, _RACE_PEER_ITERATIONS)
            start = time.perf_counter()
            model.fit(x.astype(np.float64))
            seconds = time.perf_counter() - start
            curves[method] = (np.array(model.loss_), seconds / (len(model.loss_) - 1))
    ours = exact_rss(x, flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=0).fit(x).archetypes_)
    best = min([ours, *(curve.min() for curve, _ in curves.values())])
    n_rounds = next(n for n in itertools.count(1)
                    if exact_rss(x, one_start(n, 0).fit(x).archetypes_) <= (1.0 + _WITHIN) * best)
    figures = {
        "race/ours_rounds": float(n_rounds),
        "race/ours_first_s": _median_first_s(n_rounds),
        "race/ours_later_s": _median_s(lambda seed: one_start(n_rounds, seed).fit(x)),
        "race/ours_default_over_best": ours / best - 1.0,
        "race/ours_default_first_s": _median_first_s(0),
        "race/ours_default_later_s": _median_s(
            lambda seed: flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=seed).fit(x)),
    }
    arrivals = []
    for method, (curve, seconds) in curves.items():
        figures[f"race/archetypes_{method}_over_best"] = float(curve.min()) / best - 1.0
        arrived = np.flatnonzero(curve <= (1.0 + _WITHIN) * best)
        if len(arrived):
            figures[f"race/archetypes_{method}_s"] = seconds * float(arrived[0])
            arrivals.append(seconds * float(arrived[0]))
    if arrivals:
        for name in ("ours_first", "ours_later", "ours_default_first", "ours_default_later"):
            figures[f"time_peer_over_{name}"] = min(arrivals) / figures[f"race/{name}_s"]
    return figures


def _median_first_s(n_rounds: int) -> float:
    """Seconds of the first fit of a process, compilation and all."""
    return statistics.median(_fresh(_RACE_ROWS, 1, n_rounds)["fit_s"][0]
                             for _ in range(_RACE_ROUNDS))


def _median_s(fit: Callable[[int], object]) -> float:
    """Seconds of fits from several seeds."""
    seconds = []
    for seed in range(_RACE_ROUNDS):
        start = time.perf_counter()
        fit(seed)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _memory() -> Figures:
    """A million rows in a process of their own, and a tenth of them in another."""
    million, tenth = _fresh(1_000_000, 2), _fresh(100_000, 2)
    data = million["data_bytes"]
    return {
        "million/peak_over_data": million["peak_bytes"] / data,
        "million/peak_without_libraries_over_data":
            (million["peak_bytes"] - million["peak_bytes_before"]) / data,
        "million/fit_s": million["fit_s"][0],
        "million/n_iter": million["n_iter"],
        "million/refit_s": million["fit_s"][1],
        # Of second fits: the time to compile, the same for both, would flatter the ratio.
        "million/time_1e6_over_1e5": million["fit_s"][1] / tenth["fit_s"][1],
    }


def _fresh(n_rows: int, n_fits: int, n_rounds: int = 0) -> dict:
    """What `_archetypes_fresh` prints."""
    command = [sys.executable, "-m", "experiments.benchmarks._archetypes_fresh",
               *map(str, (n_rows, n_fits, n_rounds))]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def _scale_invariance() -> Figures:
    """RSS(s X) ÷ s² RSS(X) − 1, in float32."""
    x = make_rows(1_000)
    rss = {scale: flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=0)
           .fit(np.float32(scale) * x).rss_ / scale**2 for scale in _SCALES}
    return {"scale_invariance_max_error": max(abs(value / rss[1.0] - 1) for value in rss.values())}
