"""Faults of files: each a change of the newest checkpoint, which must be noticed or harmless."""

import functools
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

import flowaa
from flowaa.config.data import build_data
from flowaa.config.flow import build_density
from flowaa.config.problem import build_problem
from flowaa.data.batches import read_rows
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.state import TrainState, create_state


def flip(file: Path, random: np.random.Generator) -> None:
    """Changes one bit."""
    content = bytearray(file.read_bytes())
    content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    file.write_bytes(content)


def truncate(file: Path, random: np.random.Generator) -> None:
    """Cuts a file off anywhere."""
    file.write_bytes(file.read_bytes()[: random.integers(file.stat().st_size)])


def delete(file: Path, random: np.random.Generator) -> None:
    """Removes a file."""
    del random
    file.unlink()


def try_damage(config: ConfigDict, n_flips: int, n_others: int) -> dict[str, float]:
    """Counts of faults that were noticed, harmless and neither, by kind.

    Noticed: training and `load_run` warn of the checkpoint, and take the one before. Harmless: what
    they restore is what was saved, bit for bit.
    """
    random = np.random.default_rng(0)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        flowaa.train(config, run)
        before = shutil.copytree(run, Path(folder) / "before")
        shutil.rmtree(_newest(before))
        readers = (lambda workdir: flowaa.load_run(workdir).params,
                   functools.partial(_restored, like=_like(config)))
        expected = {read: (read(run), read(before)) for read in readers}
        kinds: tuple[tuple[Callable[[Path, np.random.Generator], None], int], ...] = (
            (flip, n_flips), (truncate, n_others), (delete, n_others))
        for fault, n in kinds:
            outcomes = []
            for index in range(n):
                damaged = shutil.copytree(run, Path(folder) / f"{fault.__name__}_{index}")
                newest = _newest(damaged)
                files = sorted(file for file in newest.rglob("*")
                               if file.is_file() and file.stat().st_size)
                fault(files[random.integers(len(files))], random)
                # `_restored` comes last: it moves what is damaged aside.
                outcomes += [_outcome(read, damaged, *whole, newest.name)
                             for read, whole in expected.items()]
                shutil.rmtree(damaged)
            for outcome in ("noticed", "harmless", "unnoticed"):
                figures[f"{fault.__name__}/{outcome}"] = outcomes.count(outcome)
    return figures


def _outcome(read: Callable[[Path], Any], damaged: Path, whole: Any, before: Any, step: str) -> str:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = read(damaged)
    if _equal(found, whole):
        return "harmless"
    is_told = any(f"checkpoint {step} of" in str(warning.message) for warning in told)
    return "noticed" if is_told and _equal(found, before) else "unnoticed"


def _equal(a: Any, b: Any) -> bool:
    return all(np.array_equal(*pair)
               for pair in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def _restored(workdir: Path, like: TrainState) -> Any:
    checkpoints = Checkpoints(workdir / "checkpoints", keep=10)
    try:
        return checkpoints.restore_newest(like)
    finally:
        checkpoints.close()


def _newest(workdir: Path) -> Path:
    return max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))


def _like(config: ConfigDict) -> TrainState:
    dataset = build_data(config)
    problem = build_problem(config, build_density(config, dataset.spec), dataset)
    rows = read_rows(dataset.train, np.arange(config.training.batch_size))
    return jax.eval_shape(lambda: create_state(
        problem.init(jax.random.key(0), rows), problem.optimizer,
        with_ema=config.optimizer.ema_decay > 0))
