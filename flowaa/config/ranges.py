"""Which numbers a config's keys may have: what could otherwise be found out hours later."""

from collections.abc import Callable, Mapping
from typing import Any

from flowaa.errors import UserError

_Range = tuple[Callable[[Any], bool], str]

# NaN fulfils none of them. What is not in a tuple has the type that its default has.
_FROM_0: _Range = (lambda value: value >= 0, "0 or larger")
_NO_OR_FROM_2: _Range = (lambda value: value == 0 or value >= 2, "0, or 2 or larger")
_FROM_1: _Range = (lambda value: value >= 1, "1 or larger")
_COUNT: _Range = (lambda value: isinstance(value, int) and value >= 1, "whole, 1 or larger")
_COUNT_0: _Range = (lambda value: isinstance(value, int) and value >= 0, "whole, 0 or larger")
_POSITIVE: _Range = (lambda value: value > 0, "larger than 0")
_SHARE: _Range = (lambda value: isinstance(value, int | float) and 0 <= value < 1,
                  "0 or larger, and less than 1")
_UNIT: _Range = (lambda value: 0 <= value <= 1, "between 0 and 1")
_HALF: _Range = (lambda value: 0 <= value < 0.5, "0 or larger, and less than 0.5")

RANGES: dict[str, _Range] = {
    "seed": _FROM_0,
    "flow.n_blocks": _COUNT,
    "flow.width": _COUNT,
    "flow.depth": _COUNT_0,
    "flow.kernel_sizes": _COUNT,
    "flow.split_off": _SHARE,
    "flow.clamp": _POSITIVE,
    "flow.spline_bins": _FROM_1,
    "flow.spline_bound": _POSITIVE,
    "flow.dropout": _SHARE,
    "likelihood.logit_alpha": _HALF,
    "likelihood.evaluation_samples": _FROM_1,
    "archetypes.n_archetypes": _NO_OR_FROM_2,
    "archetypes.variational_width": _FROM_1,
    "archetypes.overshoot": _FROM_0,
    "archetypes.weight_noise": _FROM_0,
    "archetypes.start_rows": _FROM_1,
    "archetypes.blur_px": _FROM_0,
    "archetypes.warm_up_steps": _FROM_0,
    "archetypes.nll_weight": _FROM_0,
    "archetypes.archetype_weight": _FROM_0,
    "archetypes.reconstruction_weight": _FROM_0,
    "archetypes.latent_reconstruction_weight": _FROM_0,
    "archetypes.side_weight": _FROM_0,
    "archetypes.prototype_weight": _FROM_0,
    "archetypes.volume_weight": _FROM_0,
    "optimizer.learning_rate": _POSITIVE,
    "optimizer.warmup_steps": _FROM_0,
    "optimizer.final_learning_rate_fraction": _UNIT,
    "optimizer.weight_decay": _FROM_0,
    "optimizer.clip_norm": _FROM_0,
    "optimizer.ema_decay": _SHARE,
    "training.batch_size": _FROM_1,
    "training.steps": _FROM_1,
    "training.steps_per_call": _FROM_1,
    "training.log_every_steps": _FROM_1,
    "training.evaluate_every_steps": _FROM_1,
    "training.keep_checkpoints": _FROM_1,
    "training.n_devices": _FROM_0,
    "archetypal_analysis.n_archetypes": _FROM_0,
    "archetypal_analysis.choose_up_to": _FROM_0,
    "archetypal_analysis.n_bootstraps": _FROM_0,
    "archetypal_analysis.max_rows": _FROM_1,
    "archetypal_analysis.n_init": _FROM_1,
    "archetypal_analysis.tol": _SHARE,
    "archetypal_analysis.max_iter": _FROM_1,
    "archetypal_analysis.trim": _SHARE,
    "detector.width": _COUNT,
    "detector.depth": _COUNT,
    "detector.confidence_weight": _FROM_0,
    "detector.shares": _FROM_0,
    "detector.extremeness": _FROM_1,
    "detector.box_margin": _FROM_0,
    "detector.noise": _POSITIVE,
    "detector.reject_quantile": _SHARE,
    "detector.learning_rate": _POSITIVE,
    "detector.weight_decay": _FROM_0,
    "detector.batch_size": _FROM_1,
    "detector.steps": _FROM_1,
    "detector.steps_per_call": _FROM_1,
    "detector.log_every_steps": _FROM_1,
    "detector.evaluate_every_steps": _FROM_1,
    "figures.n_samples": _FROM_1,
    "figures.temperature": _FROM_0,
}


def check_ranges(flat: Mapping[str, Any]) -> None:
    """Checks a config's numbers.

    Args:
        flat: values by dotted key; of a tuple every number is checked, those in tuples within too.

    Raises:
        UserError: a value lies outside its key's range, or a tuple is empty.
    """
    for key, (is_within, description) in RANGES.items():
        if key in flat and not all(is_within(number) for number in _numbers(flat[key])):
            raise UserError(f"{key} is {flat[key]}; --config.{key} must be {description}")


def _numbers(value: Any) -> list[Any]:
    """The numbers in nested tuples; an empty tuple becomes NaN, which is in no range."""
    if not isinstance(value, tuple):
        return [value]
    return [number for entry in value for number in _numbers(entry)] or [float("nan")]
