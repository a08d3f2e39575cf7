"""`NormalizingFlow()` as shipped on real tables, beside simple densities and others' spline flows.

`python -m experiments.benchmark densities --tables=FOLDER --out=FILE.json` takes five tables of
scikit-learn and the inliers of every `.npz` file of FOLDER (X and y as in ADBench), in `--splits`
random splits of 80 % and 20 %. Every method is given the same training rows, standardised by their
moments, without columns that are constant in them. A column of repeated values has no density: how
high a method's is there depends on how narrow it dares to be. With `--dequantise` all methods are
given such columns with the same uniform noise, as wide as the least gap between two values.

Figures are the test rows' log-likelihoods in nats, mean and worst. The kernel's bandwidth is chosen
on up to 2 000 rows. Others' flows (zuko, normflows, flowjax: the extra `bench`) are judged if they
are installed; each stops early on a tenth of its rows, the first two also when the time is up.
"""

import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags
from scipy.stats import multivariate_normal
from sklearn import datasets
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

import flowaa
from experiments.benchmarks._density_peers import peers
from flowaa.errors import UserError

_DISTINCT = 0.5  # share of values that differ, below which a column is of repeated ones
_MOST_KDE_ROWS = 2000  # that its bandwidth is chosen on


def run() -> dict[str, float]:
    """Mean and worst log-likelihood of each method on each table, and how often ours is best."""
    figures: dict[str, float] = {}
    n_best = n_near = n_sets = 0
    for name, x in tables():
        if flags.FLAGS.dequantise:
            x = _dequantised(x)
        scores = [_measured(x, split) for split in range(flags.FLAGS.splits)]
        means = {method: np.array([score[method].mean() for score in scores])
                 for method in scores[0]}
        for method, values in means.items():
            figures[f"{name}/{method}"] = float(values.mean())
            figures[f"{name}/{method}_worst"] = float(min(score[method].min() for score in scores))
        best = max((m for m in means if m != "flowaa"), key=lambda m: figures[f"{name}/{m}"])
        # The standard error of the difference, over splits.
        difference = means["flowaa"] - means[best]
        error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(scores) > 1 else 0.0
        figures[f"{name}/gain"] = float(difference.mean())
        figures[f"{name}/standard_error"] = error
        n_sets, n_best = n_sets + 1, n_best + bool(difference.mean() >= 0)
        n_near += bool(difference.mean() >= -error)
        print(f"{name:14} {x.shape[0]:5} x {x.shape[1]:2} " + " ".join(
            f"{method} {figures[f'{name}/{method}']:.2f} ({figures[f'{name}/{method}_worst']:.0f})"
            for method in means) + f" gain {difference.mean():.2f} +- {error:.2f}", flush=True)
    return figures | {"n_sets": n_sets, "n_best": n_best, "n_best_or_within_one_error": n_near}


def _measured(x: np.ndarray, split: int) -> dict[str, np.ndarray]:
    """Log-likelihoods of a split's test rows by method."""
    order = np.random.default_rng(split).permutation(len(x))
    train, test = x[order[len(x) // 5:]], x[order[:len(x) // 5]]
    varies = train.std(0) > 1e-9 * np.abs(train).max(0)
    mean, deviation = train[:, varies].mean(0), train[:, varies].std(0)
    train, test = (train[:, varies] - mean) / deviation, (test[:, varies] - mean) / deviation
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.monotonic()
        model = flowaa.NormalizingFlow(
            max_seconds=flags.FLAGS.max_seconds, random_state=split).fit(train)
        print(f"    {time.monotonic() - started:.1f} s, radius_ks {model.radius_ks_:.3f}, "
              f"gap {model.training_score_ - model.validation_score_:.2f}, weights "
              f"{ {k: round(v, 2) for k, v in model.member_weights_.items()} }", flush=True)
        found["flowaa"] = model.score_samples(test)
        gaussian = LedoitWolf().fit(train)
        found["gaussian"] = multivariate_normal.logpdf(
            test, gaussian.location_, gaussian.covariance_, allow_singular=True)
        mixtures = [GaussianMixture(k, random_state=split).fit(train)
                    for k in range(1, 13) if k * train.shape[1] < len(train)]
        found["mixture"] = min(mixtures, key=lambda m: m.bic(train)).score_samples(test)
        search = GridSearchCV(KernelDensity(), {"bandwidth": np.logspace(-1.5, 0.5, 15)}, cv=5)
        bandwidth = search.fit(train[:_MOST_KDE_ROWS]).best_params_["bandwidth"]
        found["kernel"] = KernelDensity(bandwidth=bandwidth).fit(train).score_samples(test)
        for name, fit in peers().items():
            found[name] = fit(train, test, flags.FLAGS.max_seconds, split)
    return found


def _dequantised(x: np.ndarray) -> np.ndarray:
    """Rows [N, D], noise added to the columns of repeated values."""
    random = np.random.default_rng(0)
    columns = []
    for column in x.T:
        levels = np.unique(column)
        gaps = np.diff(levels)
        gaps = gaps[gaps > 1e-9 * np.ptp(levels)] if len(levels) > 1 else gaps  # else rounding
        is_repeated = len(levels) < _DISTINCT * len(column) and len(gaps) > 0
        width = gaps.min() if is_repeated else 0.0
        columns.append(column + width * random.uniform(-0.5, 0.5, len(column)))
    return np.column_stack(columns)


def tables() -> Iterator[tuple[str, np.ndarray]]:
    """Names and rows [N, D]: scikit-learn's, and the inliers of `--tables`."""
    only = flags.FLAGS.only
    loaders = {name: lambda name=name: getattr(datasets, f"load_{name}")().data.astype(float)
              for name in ("iris", "wine", "breast_cancer", "diabetes", "digits")}
    folder = flags.FLAGS.tables
    if folder and not sorted(Path(folder).glob("*.npz")):
        raise UserError(f"--tables: no .npz file is in {folder}; give a folder of ADBench's tables")
    for path in sorted(Path(folder).glob("*.npz")) if folder else []:
        loaders[path.stem.split("_", 1)[-1]] = lambda path=path: _inliers(path)
    for name in only or loaders:
        if name not in loaders:
            raise UserError(f"--only: there is no table {name!r}; there are {', '.join(loaders)}")
        yield name, loaders[name]()


def _inliers(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return file["X"][file["y"].ravel() == 0].astype(float)
