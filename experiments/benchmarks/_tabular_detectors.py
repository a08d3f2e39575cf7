"""Detectors of outliers in tables, each fitted to inliers alone, and how they are measured."""

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

import flowaa
from experiments.benchmarks._tabular_figures import LEVELS
from flowaa.detection.conformal import benjamini_hochberg, p_values

# Train, test, seed -> scores [m] and, of detectors that have them, p-values [m], and counted ones.
WithAlarms = tuple[np.ndarray, np.ndarray, np.ndarray]
Scores = Callable[[np.ndarray, np.ndarray, int], np.ndarray | WithAlarms]
STATED = "ours_stated"  # ours, told the share of outliers among its training rows
_LARGEST = 1e150  # of a table's values
_FDR = 0.1
_OUTLIERS_OF_BATCH = 0.05
_BATCHES = 20


def _first_neighbour(train: np.ndarray, test: np.ndarray, seed: int) -> WithAlarms:
    """Distances, and p-values by the distances of training rows to one another."""
    nearest = NearestNeighbors(n_neighbors=1).fit(train)
    scores = nearest.kneighbors(test)[0][:, 0]
    p = p_values(scores, nearest.kneighbors()[0][:, 0])
    return scores, p, p


def _neighbour(k: int) -> Scores:
    def score(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        nearest = NearestNeighbors(n_neighbors=min(k, len(train))).fit(train)
        return nearest.kneighbors(test)[0][:, -1]
    return score


def _mean_neighbours(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """DTE-NP (Livernoche et al. 2024, arXiv 2305.18593), which ranks by this."""
    nearest = NearestNeighbors(n_neighbors=min(5, len(train))).fit(train)
    return nearest.kneighbors(test)[0].mean(1)


def _ours(
    train: np.ndarray, test: np.ndarray, seed: int, contamination: str | float = "auto"
) -> WithAlarms:
    detector = flowaa.OutlierDetector(contamination=contamination, random_state=seed).fit(train)
    scores = -detector.score_samples(test)
    return scores, detector.p_value(test), p_values(scores, detector.calibration_)


def _mahalanobis(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return LedoitWolf().fit(train).mahalanobis(test)


def _mixture(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """−log p under the Gaussian mixture that the information criterion chooses."""
    laws = [GaussianMixture(n, reg_covar=1e-3, random_state=seed).fit(train)
            for n in (1, 2, 4, 8) if n < len(train)]
    return -min(laws, key=lambda law: law.bic(train)).score_samples(test)


def _pyod(name: str) -> Scores:
    def score(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        import importlib

        module = importlib.import_module(f"pyod.models.{name.lower()}")
        return getattr(module, name)().fit(train).decision_function(test)
    return score


def _detectors() -> dict[str, Scores]:
    found: dict[str, Scores] = {
        "ours": _ours,
        "1-NN": _first_neighbour,
        "5-NN": _neighbour(5),
        "DTE-NP": _mean_neighbours,
        "LOF": lambda train, test, seed: -LocalOutlierFactor(
            novelty=True, n_neighbors=min(20, len(train) - 1)).fit(train).score_samples(test),
        "IForest": lambda train, test, seed: -IsolationForest(
            random_state=seed).fit(train).score_samples(test),
        "Mahalanobis": _mahalanobis,
        "mixture": _mixture,
        "OCSVM": lambda train, test, seed: -OneClassSVM().fit(train).score_samples(test),
    }
    try:
        import pyod  # noqa: F401  # the extra `bench`
    except ImportError:
        return found
    return found | {name: _pyod(name) for name in ("ECOD", "COPOD")}


DETECTORS = _detectors()


@dataclasses.dataclass(frozen=True)
class Job:
    """A detector to be measured on one split of a table."""

    path: str
    split: str  # "file_order" or "seed_0", ...
    detector: str
    contamination: float = 0.0  # share of outliers among the training rows

    @property
    def key(self) -> tuple[str, str, str, float]:
        """What tells it from other jobs, as rows of the log have it."""
        return Path(self.path).stem, self.split, self.detector, self.contamination

    @property
    def seed(self) -> int:
        """Of the split and the detector."""
        return 0 if self.split == "file_order" else int(self.split.removeprefix("seed_"))


def split_halves(x: np.ndarray, y: np.ndarray, split: str
                 ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training inliers, test rows, and which of these are outliers, which come last."""
    inliers = np.flatnonzero(y == 0)
    if split != "file_order":
        inliers = np.random.default_rng(int(split.removeprefix("seed_"))).permutation(inliers)
    half = len(inliers) // 2
    test = np.concatenate([inliers[half:], np.flatnonzero(y == 1)])
    return x[inliers[:half]], x[test], y[test]


def measure(job: Job) -> dict:
    """One row of the log, or what is wrong with the file."""
    table = Path(job.path).stem
    try:
        with np.load(job.path, allow_pickle=False) as file:
            x, y = np.asarray(file["X"], float), np.asarray(file["y"], float).ravel()
        if x.ndim != 2 or len(x) != len(y) or set(np.unique(y)) != {0, 1}:
            raise ValueError("needs X [N, D] and y [N] with both 0 and 1, and nothing else")
        y = y.astype(int)
        if not np.isfinite(x).all() or (y == 0).sum() < 4:
            raise ValueError("needs finite X and at least four inliers")
        if np.abs(x).max() > _LARGEST:
            raise ValueError(f"holds a value beyond {_LARGEST:g}, whose square is infinite")
        if table == "mean":
            raise ValueError("a table of this name would be taken for the mean of all")
    except Exception as error:
        return {"table": table, "problem": " ".join(str(error).split())}
    row = {"table": table, "split": job.split, "detector": job.detector,
           "contamination": job.contamination}
    train, test, is_outlier = split_halves(x, y, job.split)
    if not job.contamination:
        return row | _figures(train, test, is_outlier, job, "auto")
    test_rows, mixed = _draw_mixed(len(train), is_outlier, job)
    dirty = np.concatenate([train, test[mixed]])
    test, is_outlier = test[test_rows], is_outlier[test_rows]
    clean = _figures(train, test, is_outlier, job, "auto")["auroc"]
    share = len(mixed) / len(dirty)
    found = _figures(dirty, test, is_outlier, job, share or "auto")
    return row | found | {"clean_auroc": clean, "loss": clean - found["auroc"],
                          "mixed_percent": 100 * share}


def _draw_mixed(
    n_train: int, is_outlier: np.ndarray, job: Job
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of rows that test, and of outliers that are mixed into the training rows.

    At most half of the outliers are: the others test.
    """
    outliers = np.random.default_rng(job.seed).permutation(np.flatnonzero(is_outlier))
    n_mixed = round(job.contamination / (1 - job.contamination) * n_train)
    mixed = outliers[:min(n_mixed, len(outliers) // 2)]
    return np.setdiff1d(np.arange(len(is_outlier)), mixed), mixed


def _figures(
    train: np.ndarray, test: np.ndarray, is_outlier: np.ndarray, job: Job,
    contamination: str | float,
) -> dict[str, float]:
    if not job.detector.startswith("ours"):  # which standardises by itself
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    detector = (functools.partial(_ours, contamination=contamination)
                if job.detector == STATED else DETECTORS[job.detector])
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = detector(train, test, job.seed)
    wall_s = time.perf_counter() - start
    scores, *p = found if isinstance(found, tuple) else (found,)
    false, true, _ = roc_curve(is_outlier, scores)
    return {"auroc": 100 * float(roc_auc_score(is_outlier, scores)),
            "aupr": 100 * float(average_precision_score(is_outlier, scores)),
            "fpr95": 100 * float(false[np.searchsorted(true, 0.95)]),
            "wall_s": wall_s, "n_train": len(train), "n_inliers": int((is_outlier == 0).sum()),
            **(_alarms(p[0], p[1], is_outlier, job.seed) if p else {})}


def _alarms(
    p: np.ndarray, counted: np.ndarray, is_outlier: np.ndarray, seed: int
) -> dict[str, float]:
    """Rates of false alarms by p; false discoveries and power by counted p-values, as `flag`'s.

    Each batch has all inliers, and outliers that are 5 % of it.
    """
    inliers, outliers = counted[is_outlier == 0], counted[is_outlier == 1]
    n = max(1, round(_OUTLIERS_OF_BATCH / (1 - _OUTLIERS_OF_BATCH) * len(inliers)))
    random = np.random.default_rng(seed)
    found = []
    for _ in range(_BATCHES):
        batch = np.concatenate([inliers, random.choice(outliers, min(n, len(outliers)), False)])
        flagged = benjamini_hochberg(batch, _FDR)
        found.append((flagged[:len(inliers)].sum() / max(1, flagged.sum()),
                      flagged[len(inliers):].mean()))
    fdp, power = 100 * np.mean(found, axis=0)
    rates = {name: float((p[is_outlier == 0] <= level).mean()) for name, level in LEVELS.items()}
    return rates | {"fdp": float(fdp), "power": float(power)}
