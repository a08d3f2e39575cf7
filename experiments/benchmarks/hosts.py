"""One run by many processes: the same parameters on every layout, and what a lost process costs."""

import signal
import tempfile
from pathlib import Path

from experiments.benchmarks import _hosts

_CONFIG = "configs/digits_archetypes.py"
_STEPS = 50
_LAYOUTS = ((1, 8), (2, 2), (4, 1))  # processes and devices of each, beside one with one


def run() -> dict[str, float]:
    """Relative differences of parameters, seconds, and counts of what went wrong."""
    keys = {"training.steps": _STEPS, "training.evaluate_every_steps": _STEPS // 2,
            "training.log_every_steps": 10}
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _hosts.finish(_CONFIG, keys, folder / "1x1", (1, 1))
        for layout in _LAYOUTS:
            word = f"{layout[0]}x{layout[1]}"
            _hosts.finish(_CONFIG, keys, folder / word, layout)
            figures[f"{word}/relative_difference"] = _hosts.relative_difference(
                folder / word, folder / "1x1", _STEPS)
        half, moved = {**keys, "optimizer.schedule": "constant"}, folder / "moved"
        # A run may be made longer where its learning rate does not depend on the number of steps.
        half["optimizer.warmup_steps"] = 10
        _hosts.finish(_CONFIG, half, folder / "constant", (1, 1))
        _hosts.finish(_CONFIG, {**half, "training.steps": _STEPS // 2}, moved, (2, 2))
        _hosts.finish(_CONFIG, half, moved, (1, 8))
        figures["2x2_then_1x8/relative_difference"] = _hosts.relative_difference(
            moved, folder / "constant", _STEPS)
        _hosts.finish(_CONFIG, keys, folder / "2x1", (2, 1))
        for word, index, number in (("kill_of_process_1", 1, signal.SIGKILL),
                                    ("kill_of_process_0", 0, signal.SIGKILL),
                                    ("sigterm_to_process_1", 1, signal.SIGTERM)):
            found = _hosts.stop_one(_CONFIG, keys, folder / "2x1", _STEPS, index=index,
                                    number=number)
            figures |= {f"{word}/{figure}": value for figure, value in found.items()}
    return figures
