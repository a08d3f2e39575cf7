"""The default detector after the default flow on real tables, beside the flow and 1-NN.

`python -m experiments.benchmark real_detectors --tables=FOLDER --out=FILE.json` takes three tables
of scikit-learn (the largest class in, the others out) and every `.npz` file of FOLDER, with X and
y as in ADBench (y = 1: outlier). A random half of the inliers trains; the other half and all
outliers test. No real outlier is seen before the test.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from absl import flags
from sklearn import datasets
from sklearn.neighbors import NearestNeighbors

import flowaa
from experiments.detect import detect
from experiments.detector_figures import auroc
from flowaa.config.data import build_data
from flowaa.configs import arrays
from flowaa.data.dataset import Dataset
from flowaa.data.rows import read_all
from flowaa.errors import UserError
from flowaa.outliers.evidence import marginal_log_prob

_SEED = 0
_LARGEST = float(np.finfo(np.float32).max)  # stands for a score that overflowed


def run() -> dict[str, float]:
    """AUROC in percent of detector, flow and nearest neighbour, and the least share kept."""
    figures: dict[str, float] = {}
    for name, x, is_outlier in _tables():
        found = {f"{name}/{key}": value for key, value in measure(x, is_outlier).items()}
        for key, value in found.items():
            print(f"{key:40} {value:.2f}", flush=True)
        figures |= found
    gains = [figures[key] - figures[key.replace("/detector", "/nll")]
             for key in figures if key.endswith("/detector")]
    for score in ("detector", "nll", "neighbour"):
        figures[f"mean/{score}"] = float(np.mean(
            [value for key, value in figures.items() if key.endswith(f"/{score}")]))
    return figures | {"worst_gain_over_nll": min(gains), "least_kept": min(
        value for key, value in figures.items() if key.endswith("/least_kept"))}


def measure(x: np.ndarray, is_outlier: np.ndarray) -> dict[str, float]:
    """The figures of rows x [N, D], of which those that are outliers train nothing."""
    inliers = np.random.default_rng(_SEED).permutation(np.flatnonzero(~is_outlier))
    half = len(inliers) // 2
    test = x[inliers[half:]], x[is_outlier]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.npz"
        np.savez(path, x_train=x[inliers[:half]], x_test=test[0])
        config = arrays.get_config()
        config.seed, config.data.path = _SEED, str(path)
        n_rows = int((1 - config.data.validation_fraction) * half) - 1
        config.training.batch_size = min(config.training.batch_size, n_rows)
        config.detector.batch_size = min(config.detector.batch_size, n_rows)
        flow = flowaa.train(config.lock(), Path(folder) / "run")
        dataset = build_data(config)
        model, params, summary = detect(flow, config.detector, dataset, Path(folder) / "detector")
    score = jax.jit(lambda x: model.outlier_logit(model.logits(params, x)))
    nll = jax.jit(lambda x: -marginal_log_prob(flow.density, flow.params, x))
    neighbour = _neighbour(dataset)
    return {
        "detector": 100 * auroc(*(np.asarray(score(rows)) for rows in test)),
        "nll": 100 * auroc(*(np.nan_to_num(np.asarray(nll(rows)), nan=_LARGEST) for rows in test)),
        "neighbour": 100 * auroc(*(neighbour(rows) for rows in test)),
        "least_kept": min(value for key, value in summary.items() if key.startswith("kept_")),
    }


def _neighbour(dataset: Dataset) -> Callable[[np.ndarray], np.ndarray]:
    """Distance to the nearest training row, in standard deviations of each feature."""
    mean, std = np.asarray(dataset.spec.mean), np.asarray(dataset.spec.std)
    nearest = NearestNeighbors(n_neighbors=1).fit((read_all(dataset.train.x) - mean) / std)
    return lambda rows: nearest.kneighbors((rows - mean) / std)[0][:, 0]


def _tables() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, rows [N, D] float32, and whether each is an outlier."""
    folder = flags.FLAGS.tables
    files = sorted(Path(folder).expanduser().glob("*.npz")) if folder else []
    if folder and not files:
        raise UserError(f"--tables: {folder} holds no .npz file; give a folder of ADBench's tables")
    for name in ("breast_cancer", "wine", "digits"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        yield name, x.astype(np.float32), y != np.bincount(y).argmax()
    for file in files:
        with np.load(file) as table:
            yield file.stem, table["X"].astype(np.float32), table["y"].astype(bool)
