"""The figures of a run's archetypes: at their start, trained, and of linear methods on the rows."""

import dataclasses
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from flowaa.archetypes.classical import comparison
from flowaa.config.data import DataFields
from flowaa.config.fields import read
from flowaa.data.dataset import Dataset, Split
from flowaa.data.drawing.face import extreme_faces
from flowaa.data.files.npz import DAMAGE
from flowaa.errors import warn
from flowaa.run.loading import run_of
from flowaa.run.run import Run
from flowaa.training.archetypes.start import at, batches, centred_pictures, class_centres
from flowaa.training.problem import Problem
from flowaa.training.state import Params

_MAX_TRAIN_ROWS = 5_000  # that linear methods are fitted to
_SUM_TOLERANCE = 1e-3


def archetype_figures(run: Run, dataset: Dataset) -> dict[str, float]:
    """Named figures of a run's archetypes on the test rows.

    - `weight_mae`: mean absolute error of the weights, where the true ones are known
    - `reconstruction_mse`: mean square error of rows decoded from their weights; the levels of
      images count from 0 to 1
    - `mse_from_true_extremes`: of drawn faces, that of the decoded archetypes
    """
    weights = split_weights(run, dataset.test)
    square = 0.0
    for rows in batches(np.arange(len(weights))):
        decoded = np.asarray(run.decode_weights(weights[rows], _labels(run, dataset.test, rows)))
        square += np.square(_flat(decoded) - _flat(dataset.test.x[rows])).sum()
    figures = {"reconstruction_mse":
               float(square) / len(weights) / int(np.prod(run.spec.shape)) / _scale(run)**2}
    true = _true_weights(dataset, weights.shape[1])
    if true is not None:
        figures["weight_mae"] = comparison.weight_error(weights, true)
        extremes = true_extremes(run, dataset)
        if extremes is not None:
            order = comparison.match(weights, true)
            difference = decoded_archetypes(run)[:, order].astype(np.float32) - extremes
            figures["mse_from_true_extremes"] = float(np.square(difference / _scale(run)).mean())
    return figures


def linear_figures(run: Run, dataset: Dataset) -> dict[str, float]:
    """Named figures of linear methods on the same rows.

    - `weight_mae_linear`: as `weight_mae`, of classical archetypal analysis of the data
    - `weight_mae_linear_seen`: the same of pictures less their class's mean, by the run's distance
    - `reconstruction_mse_pca`: as `reconstruction_mse`, of K − 1 principal components
    - `reconstruction_mse_pca_by_class`: the same with components of each class
    """
    k, label = len(run.archetypes), dataset.test.y
    order = np.random.default_rng(0).permutation(len(dataset.train))
    rows, test_rows = np.sort(order[:_MAX_TRAIN_ROWS]), np.arange(len(dataset.test))
    train, train_label = _flat(dataset.train.x[rows]), at(dataset.train.y, rows)
    test = _flat(dataset.test.x[test_rows])
    figures = {
        "reconstruction_mse_pca": comparison.pca_error(train, test, k - 1) / _scale(run)**2}
    if label is not None and train_label is not None:
        by_class = [
            (label == one).mean() * comparison.pca_error(train[train_label == one],
                                                         test[label == one], k - 1)
            for one in np.unique(label)]
        figures["reconstruction_mse_pca_by_class"] = float(sum(by_class)) / _scale(run)**2
    true = _true_weights(dataset, k)
    if true is None:
        return figures
    seed, model = run.config.seed, run.archetype_model
    linear = comparison.linear_weights(train, test, k, seed=seed)
    figures["weight_mae_linear"] = comparison.weight_error(linear, true)
    if model is not None and model.distance is not None:
        centres = class_centres(model, dataset.train, rows, run.spec.n_classes)
        linear = comparison.linear_weights(
            centred_pictures(model, dataset.train, rows, centres),
            centred_pictures(model, dataset.test, test_rows, centres), k, seed=seed)
        figures["weight_mae_linear_seen"] = comparison.weight_error(linear, true)
    return figures


def with_recorded_start(
    problem: Problem, config: ConfigDict, dataset: Dataset, file: Path
) -> Problem:
    """The problem; when archetypes start, their figures and pictures are written to a file."""
    *earlier, last = problem.phases

    def prepare(params: Params) -> Params:
        if last.prepare is not None:
            params = last.prepare(params)
        run = run_of(config, dataset.spec, params, last.first_step)
        figures = {name: np.float64(value)
                   for name, value in archetype_figures(run, dataset).items()}
        np.savez(file, allow_pickle=False, archetypes=decoded_archetypes(run), **figures)
        return params

    return dataclasses.replace(
        problem, phases=(*earlier, dataclasses.replace(last, prepare=prepare)))


def recorded_start(file: Path) -> tuple[np.ndarray | None, dict[str, float]]:
    """The decoded archetypes [G, K, *shape] at the start, and figures; nothing without a record."""
    if not file.is_file():
        return None, {}
    try:
        with np.load(file, allow_pickle=False) as record:
            figures = {name: float(record[name]) for name in record.files if name != "archetypes"}
            return record["archetypes"], figures
    except DAMAGE:
        warn(f"{file} is damaged: what the archetypes started from is left out")
        return None, {}


def decoded_archetypes(run: Run) -> np.ndarray:
    """Archetypes [G, K, *shape] in data units: of each class where a label matters, else G = 1."""
    corners = np.eye(len(run.archetypes))
    labels = range(run.spec.n_classes) if run.uses_labels else [None]
    return np.stack([np.asarray(run.decode_weights(corners, label)) for label in labels])


def true_extremes(run: Run, dataset: Dataset) -> np.ndarray | None:
    """The true archetypes [G, K, H, W, 3] of drawn faces, in the order of the true weights."""
    label = read(DataFields, run.config).label
    if dataset.name != "faces" or not run.uses_labels or label != "character":
        return None
    extremes = extreme_faces(run.spec.shape[0])
    return extremes if extremes.shape[1] == len(run.archetypes) else None


def split_weights(run: Run, split: Split) -> np.ndarray:
    """A [n, K] of a split's rows."""
    return np.concatenate([
        np.asarray(run.archetype_weights(split.x[rows], _labels(run, split, rows)))
        for rows in batches(np.arange(len(split)))])


def _labels(run: Run, split: Split, rows: np.ndarray) -> np.ndarray | None:
    return at(split.y, rows) if run.uses_labels else None


def _true_weights(dataset: Dataset, k: int) -> np.ndarray | None:
    """The test rows' scores [n, K], where they are weights of as many archetypes."""
    true = dataset.test.side
    if true is None or true.shape[1] != k or true.min() < 0 or (
        np.abs(true.sum(1) - 1.0).max() > _SUM_TOLERANCE
    ):
        return None
    return true


def _scale(run: Run) -> float:
    """The highest level of images; 1 for data without levels."""
    return run.spec.n_levels - 1.0 if run.spec.n_levels else 1.0


def _flat(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.float32).reshape(len(x), -1)
