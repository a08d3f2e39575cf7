"""Runs that take a second: small flows on small data, through the same function as the command."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from configs import default
from flowaa.run.train import train


def config_of(**overrides: Any) -> ConfigDict:
    """The default config made tiny; overrides are dotted keys, as on the command line."""
    config = default.get_config("smoke")
    config.update_from_flattened_dict({
        "flow.n_blocks": (2,), "flow.width": (8,), "flow.depth": (1,),
        "data.n_rows": 200,
        "training.steps": 8, "training.log_every_steps": 1, "training.evaluate_every_steps": 4,
        "training.steps_per_call": 1, "training.n_devices": 1, "training.compilation_cache": "",
    })
    config.update_from_flattened_dict(overrides)
    return config.lock()


def image_config(path: Path, **overrides: Any) -> ConfigDict:
    """All that a training step can have: labels, discrete data, dropout, averages, actnorm."""
    x = np.random.default_rng(0).integers(0, 256, (90, 4, 4, 1), np.uint8)
    if not path.exists():
        np.savez(path, x=x // (1 + np.arange(90) % 3)[:, None, None, None], y=np.arange(90) % 3)
    return config_of(**{
        "data.name": "arrays", "data.path": str(path), "flow.reshape": ("flatten",),
        "flow.dropout": 0.3, "flow.conditional": True, "flow.actnorm": True,
        "likelihood.logit_alpha": 1e-3, "optimizer.ema_decay": 0.9,
        "training.batch_size": 16, **overrides,
    })


def rows(workdir: Path) -> list[dict[str, float]]:
    """Rows of metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def summary(workdir: Path) -> dict[str, float]:
    return json.loads((workdir / "summary.json").read_text())


def without_wall_s(figures: Any) -> Any:
    if isinstance(figures, list):
        return [without_wall_s(row) for row in figures]
    return {name: value for name, value in figures.items() if name != "wall_s"}


def state_at(workdir: Path, step: int) -> list[np.ndarray]:
    """Every array of a checkpoint: parameters, optimiser, averages."""
    with ocp.StandardCheckpointer() as reader:
        items = [reader.restore(workdir.resolve() / "checkpoints" / str(step) / item)
                 for item in ("params", "state")]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(items)]


__all__ = ["config_of", "image_config", "rows", "state_at", "summary", "train", "without_wall_s"]
