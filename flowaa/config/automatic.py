"""`flow.architecture=auto`: the flow is chosen when the data's shape and kind are known."""

import sys
from typing import Any

import jax
from ml_collections import ConfigDict

from flowaa.config.fields import read
from flowaa.config.flow import FlowFields, LikelihoodFields
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError

_MANY_ROWS = 20_000  # from which networks are wider and less is dropped
# The logit of alpha reaches 6.9, inside the splines' bound: no level leaves the splines.
_LOGIT_ALPHA, _LOGIT_BOUND = 1e-3, 8.0
# Features that are large together have marginal scores far out, which the splines bring inwards.
_HEAVY_BOUND = 6.0
_CPU_BATCH = 64  # images
# What is chosen, as configs/default.py has it: a config that says otherwise contradicts "auto".
_UNTOUCHED: dict[str, Any] = {
    "reshape": ("none",), "n_blocks": (8,), "width": (64,), "depth": (2,), "split_off": (0.0,),
    "kernel_sizes": ((3,),), "law": "affine", "mixing": "permutation", "spline_bins": 8,
    "spline_bound": 4.0, "dropout": 0.0, "subnet": "convolution", "actnorm": False,
    "split": "halves"}


def resolve_architecture(config: ConfigDict, spec: DataSpec, n_rows: int) -> ConfigDict:
    """The config with the flow that is chosen for data of this description; says which on stderr.

    The config that is returned has `flow.architecture=stages`, so that what is saved with a run
    builds the same flow again. On a CPU images are trained by single steps on 64 at most. Any other
    config is returned as it is.

    Args:
        config: the config, perhaps with `flow.architecture=auto`.
        spec: the data's.
        n_rows: of the training split.

    Raises:
        UserError: a key is given that would be chosen.
    """
    flow = read(FlowFields, config)
    if flow.architecture == "stages":
        return config
    if flow.bijector:
        raise UserError("flow.bijector is given, and flow.architecture=auto would choose another; "
                        "set flow.architecture=stages")
    given = [f"flow.{key}" for key, value in _UNTOUCHED.items() if getattr(flow, key) != value]
    if read(LikelihoodFields, config).logit_alpha:
        given.append("likelihood.logit_alpha")
    if given:
        raise UserError(f"{given[0]} is given, and flow.architecture=auto would choose it; set "
                        "flow.architecture=stages and, of images, flow.reshape")
    few = n_rows < _MANY_ROWS
    has_pixels = len(spec.shape) == 3
    chosen = _picture(spec, few) if has_pixels else _table(spec, few)
    if flow.tails not in ("gaussian", "auto"):
        chosen |= {"spline_bins": 8, "spline_bound": _HEAVY_BOUND}
    config = config.copy_and_resolve_references().unlock()
    config.flow.update({"architecture": "stages", "law": "spline", **chosen})
    on_cpu = has_pixels and jax.default_backend() == "cpu"
    if on_cpu:
        # Within a compiled loop its convolutions are slow, and minutes are few.
        config.training.steps_per_call = 1
        config.training.batch_size = min(config.training.batch_size, _CPU_BATCH)
    config.likelihood.logit_alpha = _LOGIT_ALPHA if spec.n_levels else 0.0
    kind = f"values of {spec.n_levels} levels" if spec.n_levels else "continuous values"
    what = "convolutional" if has_pixels else "dense"
    print(f"flow.architecture=auto: {sum(chosen['n_blocks'])} {what} spline blocks of width "
          f"{chosen['width'][0]} at {len(chosen['width'])} scale(s), dropout "
          f"{chosen['dropout']}, logit_alpha {config.likelihood.logit_alpha}; for {n_rows} rows "
          f"{spec.shape} of {kind}, {config.training.batch_size} a step"
          + (", by single steps, as on a CPU" if on_cpu else ""), file=sys.stderr)
    return config.lock()


def _table(spec: DataSpec, few: bool) -> dict[str, Any]:
    """Four dense blocks; levels are left in their order, values are rotated between blocks."""
    chosen: dict[str, Any] = {
        "reshape": ("none",), "n_blocks": (4,), "width": (64 if few else 128,),
        "dropout": 0.2 if few else 0.0}
    if spec.n_levels:
        return chosen | {"width": (2 * chosen["width"][0],), "spline_bound": _LOGIT_BOUND}
    return chosen | {"mixing": "orthogonal", "spline_bins": 6}


def _picture(spec: DataSpec, few: bool) -> dict[str, Any]:
    """Glow-like scales (Kingma & Dhariwal 2018) of convolutional spline couplings.

    Sides are halved while they are even and 8 pixels or more, three times at most; a picture of odd
    sides keeps one scale, whose couplings change every other pixel.
    """
    height, width, _ = spec.shape
    n_scales = 0
    while n_scales < 3 and height % 2 == width % 2 == 0 and min(height, width) >= 8:
        n_scales, height, width = n_scales + 1, height // 2, width // 2
    chosen: dict[str, Any] = {
        "actnorm": True, "mixing": "invertible_linear", "dropout": 0.1 if few else 0.0,
        "reshape": ("squeeze",) * n_scales, "split_off": (0.5,) * (n_scales - 1) + (0.0,)}
    if not n_scales:
        chosen |= {"reshape": ("none",), "split": "checkerboard"}
        n_scales = 1
    if spec.n_levels:
        chosen |= {"spline_bound": _LOGIT_BOUND}
    return chosen | {
        "n_blocks": (4,) * n_scales, "width": (32 if few else 64,) * n_scales,
        "depth": (2,) * n_scales, "kernel_sizes": (((3, 3, 1),),) * n_scales}
