"""`flow.architecture=auto`: the flow is chosen when the data's shape and kind are known."""

import sys
from typing import Any

from ml_collections import ConfigDict

from flowaa.config.fields import read
from flowaa.config.flow import FlowFields, LikelihoodFields
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError

_MANY_ROWS = 20_000  # from which networks are wider and less is dropped
# What is chosen, as configs/default.py has it: a config that says otherwise contradicts "auto".
_UNTOUCHED: dict[str, Any] = {
    "reshape": ("none",), "n_blocks": (8,), "width": (64,), "depth": (2,), "split_off": (0.0,),
    "kernel_sizes": ((3,),), "law": "affine", "mixing": "permutation", "spline_bins": 8,
    "spline_bound": 4.0, "dropout": 0.0, "actnorm": False}


def resolve_architecture(config: ConfigDict, spec: DataSpec, n_rows: int) -> ConfigDict:
    """The config with the flow that is chosen for data of this description; says which on stderr.

    The config that is returned has `flow.architecture=stages`, so that what is saved with a run
    builds the same flow again. Any other config is returned as it is.

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
    width = 64 if few else 128
    chosen: dict[str, Any] = {
        "architecture": "stages", "law": "spline", "dropout": 0.2 if few else 0.0}
    alpha = 0.0
    if spec.n_levels:
        # The logit of alpha reaches 6.9, inside the spline's bound: no level leaves the splines.
        width, alpha = 2 * width, 1e-3
        chosen |= {"spline_bound": 8.0}
    else:
        chosen |= {"mixing": "orthogonal", "spline_bins": 6}
    chosen |= {"reshape": ("flatten" if len(spec.shape) == 3 else "none",), "n_blocks": (4,),
               "width": (width,)}
    config = config.copy_and_resolve_references().unlock()
    config.flow.update(chosen)
    config.likelihood.logit_alpha = alpha
    kind = f"values of {spec.n_levels} levels" if spec.n_levels else "continuous values"
    print(f"flow.architecture=auto: 4 spline blocks of width {width}, dropout "
          f"{chosen['dropout']}, logit_alpha {alpha}; for {n_rows} rows {spec.shape} of {kind}",
          file=sys.stderr)
    return config.lock()
