"""Batches that are poisoned behind the back of all checks of the data."""

import dataclasses
import itertools
import tempfile
import warnings

import numpy as np
from ml_collections import ConfigDict

import flowaa
from flowaa.config.data import build_data
from flowaa.configs import mixture
from flowaa.data.batch_order import BatchOrder
from flowaa.data.dataset import Dataset

_VALUES = (np.nan, np.inf, -np.inf, 1e30)
_EPOCHS = 5
_SEEDS = range(5)


def try_poison(n_batches: int) -> dict[str, float]:
    """Trains with at least as many poisoned batches, and without; on the mixture of two Gaussians.

    Returns:
        Batches poisoned, steps skipped and poisoned rows named, over all seeds; the mean over seeds
        of test bits/dim with poison minus without, and its standard error.
    """
    totals = dict.fromkeys(("batches", "skipped", "rows", "rows_named"), 0.0)
    differences = []
    for seed in _SEEDS:
        config = _config(seed)
        dataset = build_data(config)
        # One row more, since two may share a batch.
        rows = np.random.default_rng(seed).choice(
            len(dataset.train), -(-n_batches // _EPOCHS) + 1, replace=False).tolist()
        values = dict(zip(rows, itertools.cycle(_VALUES), strict=False))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = _summary(config, _poisoned(dataset, values))
        message = " ".join(str(warning.message) for warning in told)
        order = BatchOrder(len(dataset.train), config.training.batch_size, seed)
        totals["batches"] += sum(bool(set(order.indices(step)) & set(rows))
                                 for step in range(config.training.steps))
        totals["skipped"] += found["skipped_steps"]
        totals["rows"] += len(rows)
        totals["rows_named"] += sum(f"{row} (" in message for row in rows)
        clean = _summary(config, dataset)
        differences.append(found["test/bits_per_dim"] - clean["test/bits_per_dim"])
    return {**totals, "bits_per_dim_difference": float(np.mean(differences)),
            "bits_per_dim_standard_error": float(np.std(differences, ddof=1) / len(_SEEDS)**0.5)}


def _config(seed: int) -> ConfigDict:
    """Five epochs of the mixture."""
    config = mixture.get_config()
    config.seed = seed
    config.training.batch_size, config.training.steps_per_call = 32, 5
    config.training.steps = 225 * _EPOCHS
    config.training.log_every_steps = config.training.evaluate_every_steps = 225
    config.training.n_devices = 1
    return config.lock()


def _poisoned(dataset: Dataset, values: dict[int, float]) -> Dataset:
    x = np.array(dataset.train.x)
    for row, value in values.items():
        x[row, 0] = value
    return dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, x=x))


def _summary(config: ConfigDict, dataset: Dataset) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as workdir:
        return dict(flowaa.train(config, workdir, data=dataset).summary)
