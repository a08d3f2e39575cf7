"""Detectors on the toy data whose density is known, beside the ideal detector and scikit-learn's.

Every detector sees inliers and what its own flow makes of them, never a real outlier. Test outliers
are uniform in a square, outside the region that holds 99 % of the true density.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

import flowaa
from experiments.detect import detect
from experiments.toy_truth import true_log_prob
from flowaa.config.data import build_data
from flowaa.configs import mixture, moons
from flowaa.data.dataset import Dataset
from flowaa.data.rows import read_all
from flowaa.run import Run

_SEEDS = (0, 1, 2)
_SQUARE = (-10.0, 10.0)  # both axes, data units
_N_OUTLIERS = 20_000  # before those in the region are left out
_FAR_RADIUS = 50.0
_K_NEIGHBOURS = 5

Score = Callable[[np.ndarray], np.ndarray]


def run() -> dict[str, float]:
    """Trains flows and detectors with three seeds each; figures are means, ratios the worst."""
    rows: list[dict[str, float]] = []
    for seed in _SEEDS:
        rows.append(_mixture(seed) | _moons(seed))
        for name, value in rows[-1].items():
            print(f"seed {seed}  {name:48} {value:.5f}", flush=True)
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    figures |= {f"{name}_worst": min(row[name] for row in rows)
                for name in rows[0] if "_over_" in name}
    return figures


def _mixture(seed: int) -> dict[str, float]:
    """The discriminator beside the true density, with adversaries too, and the classifier."""
    with tempfile.TemporaryDirectory() as folder:
        config = mixture.get_config()
        config.flow.conditional = True  # each class has shells of its own
        flow, dataset = _train(config, seed, Path(folder))
        score = _discriminator(flow, dataset, Path(folder) / "discriminator")
        inliers, outliers = read_all(dataset.test.x), _outliers("mixture", dataset, seed)
        ours = _auroc(score, inliers, outliers)
        against = {adversary: _discriminator(flow, dataset, Path(folder) / adversary,
                                             adversary=adversary)
                   for adversary in ("generator", "flow")}
        ideal = _auroc(lambda x: -_truth("mixture", x), inliers, outliers)
        return {
            "mixture/auroc": ours, "mixture/auroc_ideal": ideal,
            "mixture/auroc_over_ideal": ours / ideal,
            **{f"mixture/auroc_adversary_{name}": _auroc(of, inliers, outliers)
               for name, of in against.items()},
            **_classifier(flow, dataset, Path(folder) / "classifier", seed),
        }


def _moons(seed: int) -> dict[str, float]:
    """The discriminator beside scikit-learn's detectors."""
    with tempfile.TemporaryDirectory() as folder:
        config = moons.get_config()
        config.flow.conditional = True
        # As the config's card says: what a detector needs is the density where data is rare.
        config.optimizer.weight_decay, config.optimizer.ema_decay = 0.5, 0.998
        config.training.batch_size = 512
        flow, dataset = _train(config, seed, Path(folder))
        score = _discriminator(flow, dataset, Path(folder) / "discriminator")
    inliers, x = read_all(dataset.test.x), read_all(dataset.train.x)
    outliers = _outliers("moons", dataset, seed)
    near = _outliers("moons", dataset, seed, square=(-2.0, 3.0))
    scores = {"ours": score, "ideal": lambda x: -_truth("moons", x), **_baselines(x, seed)}
    figures = {}
    for name, of in scores.items():
        figures[f"moons/auroc_{name}"] = _auroc(of, inliers, outliers)
        figures[f"moons/auroc_near_{name}"] = _auroc(of, inliers, near)
    for kind in ("", "near_"):
        best = max(figures[f"moons/auroc_{kind}{name}"] for name in scores
                   if name not in ("ours", "ideal"))
        figures[f"moons/auroc_{kind}ours_over_best"] = figures[f"moons/auroc_{kind}ours"] / best
    return figures


def _classifier(flow: Run, dataset: Dataset, folder: Path, seed: int) -> dict[str, float]:
    """Accuracy beside Bayes's rule, and confidence far from all data."""
    detector = flow.config.detector.copy_and_resolve_references().unlock()
    detector.kind = "classifier"
    detector.reference = "drawn"
    # What lies just outside comes from the flow, what lies far out from a box as wide as ±50.
    detector.sources, detector.shares, detector.box_margin = ("shell", "box"), (1.0, 1.0), 8.0
    trained, params, _ = detect(flow, detector, dataset, folder)
    probabilities = jax.jit(
        lambda x: jax.numpy.exp(trained.class_log_probs(trained.logits(params, x))))
    x, y = read_all(dataset.test.x), dataset.test.y
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, 10_000)
    far = _FAR_RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    accuracy = float((np.asarray(probabilities(x)).argmax(1) == y).mean())
    bayes = float(((x.sum(1) > 0) == (y == 1)).mean())  # the means are ±(3, 3)
    return {
        "mixture/classifier_accuracy": accuracy, "mixture/classifier_accuracy_bayes": bayes,
        "mixture/classifier_accuracy_over_bayes": accuracy / bayes,
        "mixture/classifier_far_confidence": float(np.asarray(probabilities(far)).max(1).mean()),
    }


def _train(config: ConfigDict, seed: int, folder: Path) -> tuple[Run, Dataset]:
    config.seed = seed
    return flowaa.train(config.lock(), folder), build_data(config)


def _discriminator(
    flow: Run, dataset: Dataset, folder: Path, *, adversary: str = "none"
) -> Score:
    detector = flow.config.detector.copy_and_resolve_references().unlock()
    detector.adversary = adversary
    if adversary != "none":  # what a learning adversary draws is uniform in no fixed region
        detector.reference = "drawn"
    trained, params, _ = detect(flow, detector, dataset, folder)
    score = jax.jit(lambda x: trained.outlier_logit(trained.logits(params, x)))
    return lambda x: np.asarray(score(x.astype(np.float32)))


def _baselines(x: np.ndarray, seed: int) -> dict[str, Score]:
    forest = IsolationForest(random_state=seed).fit(x)
    factor = LocalOutlierFactor(novelty=True).fit(x)
    machine = OneClassSVM().fit(x)
    neighbours = NearestNeighbors(n_neighbors=_K_NEIGHBOURS).fit(x)
    return {
        "iforest": lambda x: -forest.score_samples(x),
        "lof": lambda x: -factor.score_samples(x),
        "ocsvm": lambda x: -machine.score_samples(x),
        "knn": lambda x: neighbours.kneighbors(x)[0][:, -1],
    }


def _outliers(
    name: str, dataset: Dataset, seed: int, square: tuple[float, float] = _SQUARE
) -> np.ndarray:
    """Uniform points [M, 2] outside the region of 99 % of the true density."""
    points = np.random.default_rng(seed).uniform(*square, (_N_OUTLIERS, 2)).astype(np.float32)
    level = np.quantile(_truth(name, read_all(dataset.train.x)), 0.01)
    return points[_truth(name, points) < level]


def _truth(name: str, x: np.ndarray) -> np.ndarray:
    log_prob: Any = true_log_prob(name, x)
    return log_prob


def _auroc(score: Score, inliers: np.ndarray, outliers: np.ndarray) -> float:
    found = np.concatenate([score(inliers), score(outliers)])
    return float(roc_auc_score(np.repeat([0, 1], [len(inliers), len(outliers)]), found))
