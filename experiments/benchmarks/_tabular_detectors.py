"""Detectors of outliers in tables, each fitted to inliers alone, and how they are measured."""

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

# Train, test, seed -> scores [m] and, of detectors that have them, p-values [m].
Scores = Callable[[np.ndarray, np.ndarray, int], np.ndarray | tuple[np.ndarray, np.ndarray]]
LEVELS = {"alarms_1": 0.01, "alarms_5": 0.05, "alarms_10": 0.1}  # of false alarms


def _neighbour(k: int) -> Scores:
    def score(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        nearest = NearestNeighbors(n_neighbors=min(k, len(train))).fit(train)
        return nearest.kneighbors(test)[0][:, -1]
    return score


def _ours(train: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    detector = flowaa.OutlierDetector(random_state=seed).fit(train)
    return -detector.score_samples(test), detector.p_value(test)


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
        "1-NN": _neighbour(1),
        "5-NN": _neighbour(5),
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


def split_halves(x: np.ndarray, y: np.ndarray, split: str
                 ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training inliers, test rows, and which of these are outliers."""
    inliers = np.flatnonzero(y == 0)
    if split != "file_order":
        inliers = np.random.default_rng(int(split.removeprefix("seed_"))).permutation(inliers)
    half = len(inliers) // 2
    test = np.concatenate([inliers[half:], np.flatnonzero(y == 1)])
    return x[inliers[:half]], x[test], y[test]


def measure(job: tuple[str, str, str]) -> dict:
    """One row of the log for (file, split, detector), or what is wrong with the file."""
    path, split, name = job
    table = Path(path).stem
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y = np.asarray(file["X"], float), np.asarray(file["y"]).ravel().astype(int)
        if x.ndim != 2 or len(x) != len(y) or set(np.unique(y)) != {0, 1}:
            raise ValueError("needs X [N, D] and y [N] with both 0 and 1")
        if not np.isfinite(x).all() or (y == 0).sum() < 4:
            raise ValueError("needs finite X and at least four inliers")
    except Exception as error:
        return {"table": table, "problem": " ".join(str(error).split())}
    train, test, is_outlier = split_halves(x, y, split)
    seed = 0 if split == "file_order" else int(split.removeprefix("seed_"))
    if name != "ours":  # which standardises by itself
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = DETECTORS[name](train, test, seed)
    wall_s = time.perf_counter() - start
    scores, p = found if isinstance(found, tuple) else (found, None)
    alarms = {} if p is None else {
        name: float((p[is_outlier == 0] <= level).mean()) for name, level in LEVELS.items()}
    false, true, _ = roc_curve(is_outlier, scores)
    return {"table": table, "split": split, "detector": name,
            "auroc": 100 * float(roc_auc_score(is_outlier, scores)),
            "aupr": 100 * float(average_precision_score(is_outlier, scores)),
            "fpr95": 100 * float(false[np.searchsorted(true, 0.95)]),
            "wall_s": wall_s, "n_inliers": int((is_outlier == 0).sum()), **alarms}
