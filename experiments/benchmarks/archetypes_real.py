"""Archetypes of ten real tables: how near defaults come to the best residual, and how soon.

`python -m experiments.benchmark archetypes_real --adbench=FOLDER`: iris as it is, and wine,
breast_cancer, diabetes and digits of scikit-learn standardised; with a folder of ADBench's files
also cardio, vowels, yeast, Wilt and fault (standardised, up to 5 000 rows). For each table and
K = 3, 5, 8, the residuals of default fits with ten seeds over the best known: the best of those
fits and of 200 single starts from random rows. Times are those of fresh processes, beside the
package `archetypes`. About an hour on two idle cores; `--n_tables=1` for iris alone.
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
from flowaa.archetypes.classical import hull, starts
from flowaa.archetypes.classical.alternation import Fits, Round, alternate
from flowaa.archetypes.classical.rows import prepare

Figures = dict[str, float]

_NUMBERS, _SEEDS, _SINGLE_STARTS, _AT_ONCE = (3, 5, 8), 10, 200, 20
_MAX_ROWS = 5_000
_ADBENCH = {"cardio": "6_cardio", "vowels": "40_vowels", "yeast": "47_yeast", "wilt": "44_Wilt",
            "fault": "12_fault"}
_OURS = "from flowaa import ArchetypalAnalysis as AA"
_PEER = "from archetypes import AA"
_TIMED = """
import json, time
begin = time.perf_counter()
{import_}
from sklearn.datasets import load_iris
x = load_iris().data
AA(3, n_init=10, random_state=0).fit(x)
first = time.perf_counter() - begin
begin = time.perf_counter()
for k in range(2, 11):
    AA(k, n_init=10, random_state=0).fit(x)
print(json.dumps([first, time.perf_counter() - begin]))
"""


def tables() -> Iterator[tuple[str, np.ndarray]]:
    """Name and rows [n, D] float64 of each table."""
    yield "iris", sklearn.datasets.load_iris().data
    for name in ("wine", "breast_cancer", "diabetes", "digits"):
        yield name, _standardised(getattr(sklearn.datasets, f"load_{name}")().data)
    for name, file in _ADBENCH.items():
        folder = flags.FLAGS.adbench
        if folder and (path := Path(folder) / f"{file}.npz").exists():
            yield name, _standardised(np.load(path)["X"][:_MAX_ROWS].astype(np.float64))
        else:
            print(f"{name} is left out: there is no {file}.npz in --adbench={folder}")


def _standardised(x: np.ndarray) -> np.ndarray:
    scale = x.std(0)
    return (x - x.mean(0)) / np.where(scale > 0, scale, 1.0)


def run() -> Figures:
    """All figures; `over_best` are relative excesses of residuals, 0 being the best."""
    figures, excesses, shifts = _times(), list[np.ndarray](), [0.0]
    for name, x in tqdm(list(tables())[:flags.FLAGS.n_tables], "tables"):
        for k in _NUMBERS:
            fits = [flowaa.ArchetypalAnalysis(k, random_state=seed).fit(x)
                    for seed in range(_SEEDS)]
            rss = np.array([fit.rss_ for fit in fits])
            best = min(rss.min(), _best_of_single_starts(x, k))
            excesses.append(rss / best - 1.0)
            tqdm.write(f"{name} k={k} best {best:.6g} mean {excesses[-1].mean():.1e} "
                       f"worst {excesses[-1].max():.1e} "
                       f"agreement {np.mean([fit.agreement_ for fit in fits]):.2f}")
            figures[f"{name}/{k}/over_best_mean"] = float(excesses[-1].mean())
            figures[f"{name}/{k}/over_best_worst"] = float(excesses[-1].max())
            if name == "iris" and k == _NUMBERS[0]:
                radius = float(np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()))
                shifts = [_shift(fits[0].archetypes_, fit.archetypes_) / radius for fit in fits]
    return figures | {
        "over_best_mean": float(np.mean(excesses)), "over_best_worst": float(np.max(excesses)),
        "iris/3/shift_of_seeds_max_radii": max(shifts)}


def _best_of_single_starts(x: np.ndarray, k: int) -> float:
    """The least residual of 200 starts from random rows, each followed to convergence."""
    rows = prepare(x, np.ones(len(x)), trim=0.0, resistant=False)
    rng = np.random.default_rng(1_000)
    losses = []
    for _ in range(_SINGLE_STARTS // _AT_ONCE):
        begun = Fits.before(hull.at_rows(starts.draw_starts(rows, "uniform", k, _AT_ONCE, rng)))
        losses.append(alternate(rows, begun, Round("squared", 1e-6, 500)).loss.min())
    return rows.frame.sum_of_squares(float(min(losses)) * rows.mean_weight)


def _shift(archetypes: np.ndarray, others: np.ndarray) -> float:
    """The largest distance of an archetype from the nearest other."""
    return float(np.linalg.norm(archetypes[:, None] - others, axis=-1).min(1).max())


def _times() -> Figures:
    """Seconds on iris: import to first fit with ten starts, and a grid over K = 2 … 10 after it."""
    figures: Figures = {}
    for name, import_ in (("ours", _OURS), ("archetypes", _PEER)):
        ran = subprocess.run([sys.executable, "-c", _TIMED.format(import_=import_)],
                             capture_output=True, text=True, check=False)
        if ran.returncode:
            print(f"{name} is left out: {ran.stderr.strip().splitlines()[-1]}")
            continue
        first, grid = json.loads(ran.stdout.splitlines()[-1])
        figures |= {f"iris/{name}_first_s": first, f"iris/{name}_grid_s": grid}
    return figures
