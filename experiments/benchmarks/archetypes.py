"""Archetypal analysis beside `archetypes`, `archetypax` and `py_pcha`: residuals, time, memory.

About ten minutes on two idle cores, most of it the peers' fits. A peer that is not installed is
named in a line and left out. All data are float32, and all settings are the libraries' own except
where a line below says otherwise.
"""

import json
import logging
import statistics
import subprocess
import sys
import time
import warnings

import jax
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
from experiments.benchmarks._archetypes_fresh import N_ARCHETYPES, make_rows
from flowaa.archetypes.alternation import SOLVERS

Figures = dict[str, float]

# `archetypes` keeps an n × n matrix, archetypax compiles anew in every iteration.
_PEER_MAX_ROWS = {"archetypes": 4_000, "archetypax": 1_000, "py_pcha": 20_000}
_PEER_ITERATIONS = {"archetypes_nnls": 20, "archetypes_pgd": 100, "archetypes_pseudo_pgd": 100,
                    "archetypax": 10, "py_pcha": 200}
_RACE_ROWS, _RACE_PEER_ITERATIONS, _RACE_ROUNDS = 5_000, 60, 5
_WITHIN = 1e-3  # of the best residual sum of squares: a race is won
_SCALES = tuple(10.0**power for power in range(-4, 5))


def run() -> Figures:
    """All figures; `*_over_best` are relative excesses, 0 being the best."""
    warnings.filterwarnings("ignore")  # of the peers
    found = peers.import_peers()
    figures = _scale_invariance() | _compilations() | _memory()
    figures |= _race(found)
    figures |= _residuals("", random_problems(), found)
    return figures | _residuals("without_corners/", problems_without_corners(), found)


def _residuals(prefix: str, problems: list[Problem], found: dict[str, peers.Peer]) -> Figures:
    """The worst excess of each solver over the best of all, and how well constraints hold."""
    worst: Figures = {}
    sums, outside = 0.0, 0.0
    for problem in tqdm(problems, "problems"):
        x, rss = problem.x, {}
        for solver in SOLVERS:
            fitted = flowaa.ArchetypalAnalysis(
                problem.n_archetypes, solver=solver, random_state=0).fit(x)
            archetypes = hull_archetypes(x, fitted.data_weights_)
            rss[solver] = exact_rss(x, archetypes)
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
                    x, peer(x, problem.n_archetypes, 0, _PEER_ITERATIONS[name]))
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
    """Seconds to within 0.1 % of the best RSS: our whole default fit, a peer's iterations."""
    x = make_rows(_RACE_ROWS)
    fresh = [_fresh(_RACE_ROWS, 1)["fit_s"][0] for _ in range(3)]
    ours = flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=0).fit(x)
    curves: dict[str, tuple[np.ndarray, float]] = {}
    for method in peers.ARCHETYPES_METHODS:
        if f"archetypes_{method}" in found:
            model = peers.archetypes_model(method, N_ARCHETYPES, 0, _RACE_PEER_ITERATIONS)
            start = time.perf_counter()
            model.fit(x.astype(np.float64))
            seconds = time.perf_counter() - start
            curves[method] = (np.array(model.loss_), seconds / (len(model.loss_) - 1))
    later = []
    for seed in range(_RACE_ROUNDS):
        start = time.perf_counter()
        flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=seed).fit(x)
        later.append(time.perf_counter() - start)
    rss = exact_rss(x, ours.archetypes_)
    best = min([rss, *(curve.min() for curve, _ in curves.values())])
    figures = {"race/ours_first_s": statistics.median(fresh),
               "race/ours_later_s": statistics.median(later),
               "race/ours_over_best": rss / best - 1.0}
    for method, (curve, seconds) in curves.items():
        figures[f"race/archetypes_{method}_over_best"] = float(curve.min()) / best - 1.0
        arrived = np.flatnonzero(curve <= (1.0 + _WITHIN) * best)
        if len(arrived):
            figures[f"race/archetypes_{method}_s"] = seconds * float(arrived[0])
    times = [value for name, value in figures.items()
             if name.startswith("race/archetypes_") and name.endswith("_s")]
    if times and figures["race/ours_over_best"] <= _WITHIN:
        figures["time_peer_over_ours_first"] = min(times) / figures["race/ours_first_s"]
        figures["time_peer_over_ours_later"] = min(times) / figures["race/ours_later_s"]
    return figures


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


def _fresh(n_rows: int, n_fits: int) -> dict:
    """What `_archetypes_fresh` prints."""
    command = [sys.executable, "-m", "experiments.benchmarks._archetypes_fresh", str(n_rows),
               str(n_fits)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def _scale_invariance() -> Figures:
    """RSS(s X) ÷ s² RSS(X) − 1, in float32."""
    x = make_rows(1_000)
    rss = {scale: flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=0)
           .fit(np.float32(scale) * x).rss_ / scale**2 for scale in _SCALES}
    return {"scale_invariance_max_error": max(abs(value / rss[1.0] - 1) for value in rss.values())}


class _Traces(logging.Handler):
    """Counts how often JAX traces a function."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith("Finished tracing fit ")


def _compilations() -> Figures:
    """How often the fit is traced in a first fit and in another of the same shape."""
    jax.clear_caches()
    traces, logger, figures = _Traces(), logging.getLogger("jax"), {}
    before_level, before_propagate = logger.level, logger.propagate
    logger.addHandler(traces)
    logger.setLevel(logging.WARNING)
    logger.propagate = False  # the messages are counted, not shown
    with jax.log_compiles():
        for name, seed in (("first", 0), ("refit", 1)):
            before = traces.count
            flowaa.ArchetypalAnalysis(3, random_state=seed).fit(make_rows(500 - seed))
            figures[f"traces/{name}"] = float(traces.count - before)
    logger.removeHandler(traces)
    logger.setLevel(before_level)
    logger.propagate = before_propagate
    return figures
