"""Real pictures by `configs/arrays.py` as shipped, beside Glow and a Gaussian in the same time.

`python -m experiments.benchmark pictures --tables=FILE.npz --minutes=15 --out=FILE.json` trains on
the pictures of FILE (`x` [N, H, W, C] uint8, sides that two squeezes divide) with flowaa, then with
normflows' Glow and a Glow of FrEIA's blocks (extra `bench`; those that are missing are named), on
the same rows: 80 % with a tenth of them for validation, 20 % for the test. Ours trains for so many
minutes after its first compilation; each of the others has as long as ours took in all, building
and compiling included. Figures are test bits/dim with one draw of noise. The Gaussian is
Ledoit & Wolf's, of noisy levels in logits as the flows have them.
"""

import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict
from scipy.linalg import solve_triangular
from sklearn.covariance import LedoitWolf

import flowaa
from experiments.benchmarks._race import Task, race
from experiments.benchmarks.flows import import_peers
from flowaa.config.data import build_data
from flowaa.configs import arrays
from flowaa.data.rows import read_all
from flowaa.errors import UserError

_EVALUATE_EVERY_S = 20.0


def run() -> dict[str, float]:
    """Test bits/dim of each library, and of ours the worst picture's over the median's."""
    path, minutes = Path(flags.FLAGS.tables), flags.FLAGS.minutes
    if not path.is_file():
        raise UserError("--tables: give an .npz file of pictures, x [N, H, W, C] uint8")
    config = _config(path, minutes)
    figures = _ours(config)
    print(figures, flush=True)
    task = Task(config)
    figures["bits_per_dim_gaussian"] = _gaussian(task)
    for name, peer in import_peers("freia", "normflows").items():
        result = race(peer.pictures, task, wall_s=figures["wall_s_ours"],
                      evaluate_every_s=_EVALUATE_EVERY_S)
        figures[f"bits_per_dim_{name}"] = task.bits_per_dim(result.test_nll)
        figures[f"steps_{name}"] = result.n_steps
        print(figures, flush=True)
    return figures


def _config(path: Path, minutes: float) -> ConfigDict:
    config = arrays.get_config()
    config.data.path = str(path)
    config.training.max_minutes = minutes
    return config.lock()


def _ours(config: ConfigDict) -> dict[str, float]:
    """As the command trains, whose clock begins after the first compilation."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as workdir:
        run = flowaa.train(config, workdir)
    wall_s = time.perf_counter() - started
    test = read_all(build_data(config).test.x)
    nll = -np.asarray(run.log_prob(test, key=jax.random.key(0)))
    return {
        "bits_per_dim_ours": run.summary["test/bits_per_dim"],
        "worst_over_median_ours": float(nll.max() / np.median(nll)),
        "steps_ours": run.summary["steps"],
        "wall_s_ours": wall_s,
    }


def _gaussian(task: Task) -> float:
    """Test bits/dim of one normal law of the training rows, a draw of noise each."""
    batches = task.batches()
    n_batches = -(-len(task.dataset.train) // task.config.training.batch_size)
    rows = np.concatenate([next(batches) for _ in range(n_batches)])
    law = LedoitWolf().fit(rows.reshape(len(rows), -1).astype(np.float64))
    root = np.linalg.cholesky(law.covariance_)
    test = task.test.y.reshape(len(task.test.y), -1) - law.location_
    white = solve_triangular(root, test.T, lower=True)
    nll = (0.5 * (white ** 2).sum(0).mean() + np.log(np.diagonal(root)).sum()
           + 0.5 * task.n_dims * np.log(2 * np.pi))
    return task.bits_per_dim(nll - task.test.log_volume)
