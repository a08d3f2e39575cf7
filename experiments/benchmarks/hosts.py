"""One run by many processes: the same parameters on every layout, and what a lost process costs.

`--only` takes `layouts`, `rounding` (how far a run is from itself compiled otherwise), `moved` (a
run that goes on on another layout) and `stopped`.
"""

import signal
import tempfile
from pathlib import Path

from absl import flags

from experiments.benchmarks import _hosts
from flowaa.errors import UserError

_CONFIG = "configs/digits_archetypes.py"
_STEPS, _FEW = 50, 10
_KEYS = {"training.steps": _STEPS, "training.evaluate_every_steps": 5,
         "training.keep_checkpoints": _STEPS, "training.log_every_steps": 10}
_LAYOUTS = ((1, 8), (2, 2), (4, 1))  # processes and devices of each, beside one with one


def run() -> dict[str, float]:
    """Relative differences of parameters, seconds, and counts of what went wrong."""
    chosen = flags.FLAGS.only or list(_PARTS)
    for name in chosen:
        if name not in _PARTS:
            raise UserError(f"--only: there is no part {name!r}; there are {', '.join(_PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        return {name: value for part in chosen for name, value in _PARTS[part](
            Path(folder) / part).items()}


def _layouts(folder: Path) -> dict[str, float]:
    """The same run on each layout."""
    _hosts.finish(_CONFIG, _KEYS, folder / "1x1", (1, 1))
    figures: dict[str, float] = {}
    for layout in _LAYOUTS:
        word = f"{layout[0]}x{layout[1]}"
        _hosts.finish(_CONFIG, _KEYS, folder / word, layout)
        figures |= _differences(word, folder / word, folder / "1x1")
    return figures


def _rounding(folder: Path) -> dict[str, float]:
    """The same run on the same layout, compiled so that sums are taken in another order."""
    _hosts.finish(_CONFIG, _KEYS, folder / "1x1", (1, 1))
    _hosts.finish(_CONFIG, _KEYS, folder / "other", (1, 1), "--xla_backend_optimization_level=0")
    return _differences("1x1_compiled_otherwise", folder / "other", folder / "1x1")


def _differences(word: str, found: Path, expected: Path) -> dict[str, float]:
    """Of parameters, after a few steps and at the end: Adam makes much of what rounding leaves."""
    return {f"{word}/relative_difference_{step}_steps": _hosts.relative_difference(
        found, expected, step) for step in (_FEW, _STEPS)}


def _moved(folder: Path) -> dict[str, float]:
    """Half of a run on one layout and half on another; constant rates: it can be made longer."""
    keys = {**_KEYS, "optimizer.schedule": "constant", "optimizer.warmup_steps": 10}
    _hosts.finish(_CONFIG, keys, folder / "1x1", (1, 1))
    _hosts.finish(_CONFIG, {**keys, "training.steps": _STEPS // 2}, folder / "moved", (2, 2))
    _hosts.finish(_CONFIG, keys, folder / "moved", (1, 8))
    return {"2x2_then_1x8/relative_difference": _hosts.relative_difference(
        folder / "moved", folder / "1x1", _STEPS)}


def _stopped(folder: Path) -> dict[str, float]:
    """One of two processes is killed, or asked to stop."""
    _hosts.finish(_CONFIG, _KEYS, folder / "2x1", (2, 1))
    return {f"{word}/{figure}": value
            for word, index, number in (("kill_of_process_1", 1, signal.SIGKILL),
                                        ("kill_of_process_0", 0, signal.SIGKILL),
                                        ("sigterm_to_process_1", 1, signal.SIGTERM))
            for figure, value in _hosts.stop_one(
                _CONFIG, _KEYS, folder / "2x1", _STEPS, index=index, number=number).items()}


_PARTS = {"layouts": _layouts, "rounding": _rounding, "moved": _moved, "stopped": _stopped}
