"""Whether rows never seen lie beyond the stated 1-in-10, -100 and -1000 levels as often as stated.

`python -m experiments.benchmark return_periods --tables=FOLDER --splits=1 --out=FILE.json` fits
`NormalizingFlow()` and `OutlierDetector()` as shipped to 80 % of the rows of five tables of
scikit-learn and of the inliers of each `.npz` file of FOLDER. Of the other 20 % the share beyond a
level is held against the level: it is right within three binomial standard errors. Beside them the
law that a normal density states, by Mahalanobis distances of Ledoit & Wolf's covariance and chi^2
("normal"), and the same distances held against those of rows left out of five folds ("counted"):
that states true shares whatever the density, as ours do, and tells how much of it is counting.
"""

import warnings

import numpy as np
from absl import flags
from scipy.stats import chi2
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import KFold

import flowaa
from experiments.benchmarks.densities import tables

_PERIODS = (10, 100, 1000)


def run() -> dict[str, float]:
    """Shares beyond each level by table and method, and how many of them are right."""
    figures: dict[str, float] = {}
    right: dict[str, list[bool]] = {}
    for name, x in tables():
        for split in range(flags.FLAGS.splits):
            order = np.random.default_rng(split).permutation(len(x))
            train, test = x[order[len(x) // 5:]], x[order[:len(x) // 5]]
            for method, periods in _periods(train, test, split).items():
                for period in _PERIODS:
                    share, stated = float(np.mean(periods >= period)), 1 / period
                    error = np.sqrt(stated * (1 - stated) / len(test))
                    right.setdefault(method, []).append(abs(share - stated) <= 3 * error)
                    figures[f"{name}/{split}/{method}_{period}"] = share
                print(f"{name:14} {len(test):5} rows, {method:8} " + " ".join(
                    f"1 in {period}: {np.mean(periods >= period):.4f}" for period in _PERIODS),
                    flush=True)
    return figures | {f"right/{method}": float(np.mean(are)) for method, are in right.items()}


def _periods(train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return periods of the test rows by method."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        varies = train.std(0) > 1e-9 * np.abs(train).max(0)
        law = LedoitWolf().fit(train[:, varies])
        squared = law.mahalanobis(test[:, varies])
        seconds = flags.FLAGS.max_seconds
        return {
            "flow": flowaa.NormalizingFlow(max_seconds=seconds, random_state=seed)
            .fit(train).return_period(test),
            "detector": flowaa.OutlierDetector(max_seconds=seconds, random_state=seed)
            .fit(train).return_period(test),
            "normal": 1 / np.maximum(chi2.sf(squared, varies.sum()), 1e-300),
            "counted": _counted(train[:, varies], test[:, varies], seed)}


def _counted(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return periods of test rows: of how many rows left out of a fold one is as far out."""
    laws, left_out = [], []
    for rest, fold in KFold(5, shuffle=True, random_state=seed).split(train):
        laws.append(LedoitWolf().fit(train[rest]))
        left_out.append(laws[-1].mahalanobis(train[fold]))
    known = np.sort(np.concatenate(left_out))
    n_closer = [np.searchsorted(known, law.mahalanobis(test)) for law in laws]
    return (len(known) + 1) / (len(known) + 1 - np.mean(n_closer, axis=0))
