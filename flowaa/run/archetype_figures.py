"""The figures of a run's archetypes, beside those of linear methods on the same rows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flowaa.data.dataset import Dataset, Split
    from flowaa.run import Run

_BATCH = 500
_MAX_TRAIN_ROWS = 5_000  # that linear methods are fitted to
_SUM_TOLERANCE = 1e-3


def archetype_figures(run: "Run", dataset: "Dataset") -> dict[str, float]:
    """Named figures for `summary.json`.

    - `test/weight_mae`, `test/weight_mae_linear`: mean absolute error of the weights, where the
      true ones are known, and that of classical archetypal analysis of the raw data
    - `test/weight_mae_linear_seen`: the same of pictures as the run's distance sees them, where it
      has one, less their class's mean
    - `test/reconstruction_mse`, `test/reconstruction_mse_pca`: mean square error of test rows
      decoded from their weights, and of K − 1 principal components; images count from 0 to 1
    - `test/reconstruction_mse_pca_by_class`: the same with components of each class
    """
    from flowaa.archetypes.classical import comparison

    weights = split_weights(run, dataset.test)
    k = weights.shape[1]
    scale = run.spec.n_levels - 1.0 if run.spec.n_levels else 1.0
    some = _some_rows(dataset.train)
    train = _flat(dataset.train.x, some)
    train_label = None if dataset.train.y is None else dataset.train.y[some]
    test = _flat(dataset.test.x, np.arange(len(dataset.test)))
    square, count = 0.0, 0
    for rows in _batches(len(test)):
        decoded = np.asarray(run.decode_weights(weights[rows], _labels(run, dataset.test, rows)))
        square += np.square(decoded.reshape(len(decoded), -1) - test[rows]).sum()
        count += decoded.size
    figures = {
        "test/reconstruction_mse": float(square / count) / scale**2,
        "test/reconstruction_mse_pca": comparison.pca_error(train, test, k - 1) / scale**2,
    }
    label = dataset.test.y
    if label is not None and train_label is not None:
        by_class = [
            (label == one).mean() * comparison.pca_error(train[train_label == one],
                                                         test[label == one], k - 1)
            for one in np.unique(label)]
        figures["test/reconstruction_mse_pca_by_class"] = float(sum(by_class)) / scale**2
    true = dataset.test.side
    if true is not None and true.shape[1] == k and (
        np.abs(true.sum(1) - 1.0).max() < _SUM_TOLERANCE and true.min() >= 0
    ):
        linear = comparison.linear_weights(train, test, k, seed=run.config.seed)
        figures["test/weight_mae"] = comparison.weight_error(weights, true)
        figures["test/weight_mae_linear"] = comparison.weight_error(linear, true)
        if run.archetype_model is not None and run.archetype_model.distance is not None:
            linear = comparison.linear_weights(*_seen(run, dataset), k, seed=run.config.seed)
            figures["test/weight_mae_linear_seen"] = comparison.weight_error(linear, true)
    return figures


def split_weights(run: "Run", split: "Split") -> np.ndarray:
    """A [n, K] of a split's rows."""
    return np.concatenate([
        np.asarray(run.archetype_weights(split.x[rows], _labels(run, split, rows)))
        for rows in _batches(len(split))])


def _batches(n_rows: int) -> Iterator[np.ndarray]:
    yield from np.array_split(np.arange(n_rows), -(-n_rows // _BATCH))


def _labels(run: "Run", split: "Split", rows: np.ndarray) -> np.ndarray | None:
    return split.y[rows] if run.uses_labels and split.y is not None else None


def _some_rows(split: "Split") -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(len(split))[:_MAX_TRAIN_ROWS])


def _seen(run: "Run", dataset: "Dataset") -> tuple[np.ndarray, np.ndarray]:
    """Training rows and test rows as the run's distance sees them."""
    from flowaa.training.archetypes.start import class_centres, seen_pictures

    model, rows = run.archetype_model, _some_rows(dataset.train)
    assert model is not None
    centres = class_centres(model, dataset.train, rows, run.spec.n_classes)
    return (seen_pictures(model, dataset.train, rows, centres),
            seen_pictures(model, dataset.test, np.arange(len(dataset.test)), centres))


def _flat(x: Any, rows: np.ndarray) -> np.ndarray:
    return np.asarray(x[rows], np.float32).reshape(len(rows), -1)
