"""What a trained detector is worth: its calibration, its AUROC on made outliers, its picture."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import roc_auc_score

from experiments.toy_truth import true_log_prob
from flowaa.data.dataset import Dataset, Split
from flowaa.data.rows import read_all
from flowaa.detection.calibration import Temperature, fit_temperature, reliability
from flowaa.detection.model import DetectorModel
from flowaa.errors import warn
from flowaa.figures.plane import Plane, save_density, save_detector, save_grid_map
from flowaa.figures.reliability import save_reliability
from flowaa.outliers.evidence import marginal_log_prob
from flowaa.outliers.mixture import OutlierMixture
from flowaa.run import Run

_MARGIN = 0.5  # of the range of the data, on each side of it
_ROWS = 2_000  # rows of a split, and outliers of each source, that figures are computed from


class _Judged(NamedTuple):
    """Logits and what came true, of a split's rows and of as many made outliers."""

    logits: np.ndarray  # [N] of being an outlier, or [N, K]
    labels: np.ndarray  # [N] whether a row is an outlier, or its class
    weights: np.ndarray  # [N] as in the loss: outliers together weigh as much as the inliers


def calibrate(
    model: DetectorModel, mixture: OutlierMixture, params: Any, validation: Split, key: jax.Array,
    *, weight: float,
) -> Temperature:
    """The temperature of a detector's probabilities, fitted on validation rows.

    Args:
        model: the detector.
        mixture: its outliers.
        params: its parameters.
        validation: rows that trained neither the flow nor the detector.
        key: of the outliers.
        weight: of outliers in a classifier's loss.
    """
    temperature = fit_temperature(*_judged(model, mixture, params, validation, key, weight))
    if not temperature.is_identified:
        warn(f"the {len(validation)} validation rows do not determine the temperature: they "
             f"are separated from the made outliers, or too few; T = {temperature.value:.2f} "
             "follows the prior, so read probabilities as scores")
    return temperature


def judge(
    model: DetectorModel, mixture: OutlierMixture, params: Any, test: Split, key: jax.Array,
    temperature: float, figures: Path, *, weight: float,
) -> dict[str, float]:
    """Calibration on test rows, and of each source the AUROC of all its draws; arguments as above.

    `test/kept_SOURCE` is the share of a source's draws that would have weight in training.
    """
    judged = _judged(model, mixture, params, test, jax.random.fold_in(key, 0), weight)
    before = reliability(*judged)
    after = reliability(*judged._replace(logits=judged.logits / temperature))
    save_reliability(figures / "reliability.png", {
        "as trained": before, f"temperature {temperature:.2f}": after})
    summary = {"test/calibration_error": before.error, "test/calibration_error_scaled": after.error}
    x = read_all(test.x)[:_ROWS]

    def score(rows: Any) -> np.ndarray:
        return np.asarray(model.outlier_logit(_logits(model, params, rows)))

    inliers = score(x)
    for index, source in enumerate(mixture.all_sources()):
        drawn, weights = mixture.only(source)(
            params["flow"], jax.random.fold_in(key, 1 + index), jnp.asarray(x))
        summary[f"test/auroc_{source}"] = auroc(inliers, score(drawn))
        summary[f"test/kept_{source}"] = float((weights > 0).mean())
    return summary


def auroc(inliers: np.ndarray, outliers: np.ndarray) -> float:
    """The share of pairs in which the outlier's score is the larger, ties by half."""
    is_outlier = np.repeat([0, 1], [len(inliers), len(outliers)])
    return float(roc_auc_score(is_outlier, np.concatenate([inliers, outliers])))


def save_plane(
    model: DetectorModel, mixture: OutlierMixture, params: Any, run: Run, dataset: Dataset,
    figures: Path,
) -> None:
    """What a detector and its flow say of every point of the plane (thesis 4.1)."""
    x, y = read_all(dataset.test.x)[:1000], dataset.test.y
    made, weight = mixture(run.params, jax.random.key(run.config.seed), jnp.asarray(x))
    drawn = np.asarray(made)
    # Outliers far away would make a speck of the data: the axes reach half the data's range beyond.
    plane = Plane.around(np.concatenate([x, drawn])).within(Plane.around(x, margin=_MARGIN))
    points = plane.points()
    logits = _logits(model, params, points)
    truth = true_log_prob(run.config.data.name, points)
    inlier_level = true_log_prob(run.config.data.name, x)
    odds = np.asarray(model.outlier_logit(logits))
    panels = {"log-odds of being an outlier": odds}
    if model.n_classes:
        panels = {"log-odds that the best guess is wrong": odds}
        best = np.exp(np.asarray(model.class_log_probs(logits)))
        panels = {"largest class probability": best.max(1),
                  "probability of class 1": best[:, 1], **panels}
    save_detector(
        figures / "detector.png", plane, panels, data=x, outliers=drawn[np.asarray(weight) > 0],
        truth=truth, truth_level=None if inlier_level is None else float(
            np.quantile(inlier_level, 0.01)))
    density = np.asarray(marginal_log_prob(run.density, run.params, jnp.asarray(points)))
    save_density(figures / "density.png", plane, density, truth=truth, data=x)
    label = 0 if run.density.flow.n_condition_classes else None
    of_label = x if label is None or y is None else x[y[:1000] == label]
    save_grid_map(figures / "latent_grid.png", plane=Plane.around(of_label, margin=0.2),
                  encode=lambda x: np.asarray(run.encode(x, label)[0]),
                  decode=lambda z: np.asarray(run.decode(z, label)), data=of_label)


@functools.partial(jax.jit, static_argnums=0)
def _logits(model: DetectorModel, params: Any, x: Any) -> jax.Array:
    return model.logits(params, x)


def _judged(
    model: DetectorModel, mixture: OutlierMixture, params: Any, split: Split, key: jax.Array,
    weight: float,
) -> _Judged:
    """A split's rows and as many outliers, weighted as in the detector's loss."""
    x = read_all(split.x)[:_ROWS]
    if model.n_classes and not model.rejects:
        assert split.y is not None
        return _Judged(np.asarray(_logits(model, params, x)), split.y[:_ROWS], np.ones(len(x)))
    drawn, importance = mixture(params["flow"], key, jnp.asarray(x))
    importances = np.asarray(importance, float)
    kept = importances > 0
    found = np.concatenate(
        [_logits(model, params, x), _logits(model, params, drawn)[kept]])
    weights = np.concatenate([np.ones(len(x)),
                              importances[kept] * len(x) / max(importances.sum(), 1e-9)])
    if not model.n_classes:
        return _Judged(found[:, 0], np.repeat([0, 1], [len(x), kept.sum()]), weights)
    assert split.y is not None
    weights[len(x):] *= weight
    labels = np.concatenate([split.y[:_ROWS], np.full(kept.sum(), model.n_classes)])
    return _Judged(found, labels, weights)
