"""With which changes of its config a run may go on."""

import fnmatch
import json
from collections.abc import Sequence
from typing import Any

# Keys of a training run's config that change neither its parameters nor which of them are chosen.
FREE_KEYS = (
    "figures.*",
    "archetypal_analysis.*",  # of another command
    "detector.*",  # likewise; a detector's own run is compared by FREE_DETECTOR_KEYS
    "training.log_every_steps",
    "training.keep_checkpoints",
    "training.compilation_cache",
    "training.n_devices",
    "data.device_bytes",
)
# Likewise of the config of a detector's run.
FREE_DETECTOR_KEYS = ("detector.log_every_steps",)


def differing_keys(
    old: dict[str, Any], new: dict[str, Any], free: Sequence[str] = FREE_KEYS
) -> list[str]:
    """Dotted keys, each with the reason in brackets where there is one, that forbid to go on.

    `training.steps` may grow where the learning rate of the steps taken stays what it was: with
    optimizer.schedule=constant and an unchanged warm-up. The run then goes on as if it had been
    asked for all steps at once, but that the old end, if it is no multiple of
    training.evaluate_every_steps, keeps a row and a checkpoint of its own.
    """
    before, after = _flatten(old), _flatten(new)
    keys = [key for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
            and not any(fnmatch.fnmatchcase(key, pattern) for pattern in free)]
    if "data.path" in keys and before.get("data.name") == after.get("data.name") == "given":
        # Of arrays in memory the path is a hash, which the user did not choose.
        keys[keys.index("data.path")] = "data.path (the run was trained on other data)"
    if "training.steps" in keys:
        keys.remove("training.steps")
        reason = _why_not_longer(before, after)
        if reason:
            keys.append(f"training.steps ({reason})")
    return keys


def _why_not_longer(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Why the run cannot be made longer; "" where it can."""
    steps = before.get("training.steps", 0), after.get("training.steps", 0)
    if steps[1] < steps[0]:
        return "a run can be made longer, not shorter"
    if after.get("optimizer.schedule") != "constant":
        return "a run can be made longer with optimizer.schedule=constant alone"
    # The warm-up is at most half of the steps.
    if min(steps) // 2 < after.get("optimizer.warmup_steps", 0):
        return "the warm-up would become longer"
    return ""


def _flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = json.loads(json.dumps(value))  # tuples and lists are alike in JSON
    return flat
