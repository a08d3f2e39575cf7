"""Archetypes of ten real tables: how near defaults come to the best residual, and how soon.

`python -m experiments.benchmark archetypes_real --tables=FOLDER`: iris as it is, and
wine, breast_cancer, diabetes and digits of scikit-learn standardised; with a folder of ADBench's
files also cardio, vowels, yeast, wilt and fault (standardised, up to 5 000 rows). For each table
and K = 3, 5, 8, the residuals of default fits with ten seeds over the best known: the best of those
fits, of 200 single starts from random rows and, up to 2 000 rows, of the packages that
`benchmark archetypes` takes as peers. Times are those of fresh processes, in turn with the
package `archetypes`, as seconds and as seconds of the processor, which other programs disturb less.
`--only=iris,wine,times` runs parts; digits and above all wilt take longest.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sklearn.datasets
from absl import flags
from tqdm import tqdm

import flowaa
from experiments.benchmarks import _archetype_peers as peers
from experiments.benchmarks._archetype_problems import exact_rss
from flowaa.archetypes.classical import hull, starts
from flowaa.archetypes.classical.alternation import Fits, Round, alternate
from flowaa.archetypes.classical.rows import prepare
from flowaa.errors import UserError

Figures = dict[str, float]

_NUMBERS, _SEEDS, _SINGLE_STARTS, _AT_ONCE = (3, 5, 8), 10, 200, 20
_MAX_ROWS, _PEER_MAX_ROWS = 5_000, 2_000
_OF_SCIKIT_LEARN = ("wine", "breast_cancer", "diabetes", "digits")
_ADBENCH = {"cardio": "6_cardio", "vowels": "40_vowels", "yeast": "47_yeast", "wilt": "44_Wilt",
            "fault": "12_fault"}
_SIDES = {"ours": "from flowaa import ArchetypalAnalysis as AA",
          "archetypes": "from archetypes import AA"}
_PROCESSES, _TIMES = 3, "times"
_TIMED = """
import json, time
begin = time.perf_counter(), time.process_time()
{import_}
from sklearn.datasets import load_iris
x = load_iris().data
AA(3, n_init=10, random_state=0).fit(x)
first = time.perf_counter(), time.process_time()
rss = [float(AA(k, n_init=10, random_state=0).fit(x).rss_) for k in range(2, 11)]
last = time.perf_counter(), time.process_time()
print(json.dumps([first[0] - begin[0], first[1] - begin[1], last[0] - first[0],
                  last[1] - first[1], *rss]))
"""


def tables(names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and rows [n, D] float64 of each table that is asked for."""
    if "iris" in names:
        yield "iris", sklearn.datasets.load_iris().data
    for name in _OF_SCIKIT_LEARN:
        if name in names:
            yield name, _standardised(getattr(sklearn.datasets, f"load_{name}")().data)
    for name, file in _ADBENCH.items():
        folder = flags.FLAGS.tables
        if name in names and folder and (path := Path(folder) / f"{file}.npz").exists():
            yield name, _standardised(np.load(path)["X"][:_MAX_ROWS].astype(np.float64))
        elif name in names:
            print(f"{name} is left out: there is no {file}.npz in --tables={folder}")


def _standardised(x: np.ndarray) -> np.ndarray:
    scale = x.std(0)
    return (x - x.mean(0)) / np.where(scale > 0, scale, 1.0)


def run() -> Figures:
    """All figures; `over_best` are relative excesses of residuals, 0 being the best."""
    every = ["iris", *_OF_SCIKIT_LEARN, *_ADBENCH, _TIMES]
    names = flags.FLAGS.only or every
    if unknown := set(names) - set(every):
        raise UserError(f"--only: there is no {', '.join(sorted(unknown))}; there are "
                        f"{', '.join(every)}")
    figures: Figures = _times() if _TIMES in names else {}
    excesses: list[np.ndarray] = []
    found = peers.import_peers()
    for name, x in tqdm(list(tables(names)), "tables"):
        for k in _NUMBERS:
            fits = [flowaa.ArchetypalAnalysis(k, random_state=seed).fit(x)
                    for seed in range(_SEEDS)]
            rss = np.array([fit.rss_ for fit in fits])
            best = min(rss.min(), _best_of_single_starts(x, k), _best_of_peers(x, k, found))
            excesses.append(rss / best - 1.0)
            tqdm.write(f"{name} k={k} best {best:.6g} mean {excesses[-1].mean():.1e} "
                       f"worst {excesses[-1].max():.1e} "
                       f"agreement {np.mean([fit.agreement_ for fit in fits]):.2f}")
            figures[f"{name}/{k}/over_best_mean"] = float(excesses[-1].mean())
            figures[f"{name}/{k}/over_best_worst"] = float(excesses[-1].max())
            if name == "iris" and k == _NUMBERS[0]:
                radius = float(np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()))
                figures["iris/3/shift_of_seeds_max_radii"] = max(
                    _shift(one.archetypes_, fit.archetypes_) / radius
                    for one in fits for fit in fits)
    if not excesses:
        return figures
    return figures | {
        "over_best_mean": float(np.mean(excesses)), "over_best_worst": float(np.max(excesses))}


def _best_of_single_starts(x: np.ndarray, k: int) -> float:
    """The least residual of 200 starts from random rows, each followed to convergence."""
    rows = prepare(x, np.ones(len(x)), trim=0.0, resistant=False)
    rng = np.random.default_rng(1_000)
    losses = []
    for _ in range(_SINGLE_STARTS // _AT_ONCE):
        begun = Fits.before(hull.at_rows(starts.draw_starts(rows, "uniform", k, _AT_ONCE, rng)))
        losses.append(alternate(rows, begun, Round("squared", 1e-6, 500)).loss.min())
    return rows.frame.sum_of_squares(float(min(losses)) * rows.mean_weight)


def _best_of_peers(x: np.ndarray, k: int, found: dict[str, peers.Peer]) -> float:
    """The least residual of other packages' fits from one start each; infinite for many rows."""
    if len(x) > _PEER_MAX_ROWS:
        return np.inf
    best = np.inf
    for name, peer in found.items():
        try:
            best = min(best, exact_rss(x, peer(x, k, 0, peers.ITERATIONS[name])))
        except Exception as error:  # whatever a peer fails with is a finding, not ours to mend
            tqdm.write(f"{name} failed: {error!r}")
    return best


def _shift(archetypes: np.ndarray, others: np.ndarray) -> float:
    """The largest distance of an archetype from the nearest other."""
    return float(np.linalg.norm(archetypes[:, None] - others, axis=-1).min(1).max())


def _times() -> Figures:
    """Medians on iris: import to first fit with ten starts, and a grid over K = 2 … 10 after it."""
    measured: dict[str, list[list[float]]] = {name: [] for name in _SIDES}
    for _ in range(_PROCESSES):
        for name, import_ in _SIDES.items():
            ran = subprocess.run([sys.executable, "-c", _TIMED.format(import_=import_)],
                                 capture_output=True, text=True, check=False)
            if ran.returncode:
                print(f"{name} is left out: {ran.stderr.strip().splitlines()[-1]}")
            else:
                measured[name].append(json.loads(ran.stdout.splitlines()[-1]))
    figures: Figures = {}
    for name, values in measured.items():
        if values:
            keys = ("first_s", "first_cpu_s", "grid_s", "grid_cpu_s",
                    *(f"grid_rss_{k}" for k in range(2, 11)))
            figures |= {f"iris/{name}_{key}": float(value)
                        for key, value in zip(keys, np.median(values, axis=0), strict=True)}
    return figures
