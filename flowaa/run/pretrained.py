"""The flow of another run, in which archetypes are to be found."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from flowaa.config.archetypes import read_archetypes
from flowaa.config.fields import read
from flowaa.config.flow import FlowFields, LikelihoodFields
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError
from flowaa.run.loading import load_run
from flowaa.training.state import Params

_FREE_KEYS = {"flow.memory", "flow.dropout", "flow.subnet_dtype",
              "likelihood.evaluation_samples"}  # leave log p(x) as it is


def pretrained_flow(config: ConfigDict, spec: DataSpec) -> Params | None:
    """Parameters of the run `archetypes.pretrained`; None where the config names none.

    Raises:
        UserError: that run has no flow, or one that would have another density with this config
            and data of this description: equal shapes are not enough.
    """
    archetypes = read_archetypes(config)
    if not (archetypes.n_archetypes and archetypes.pretrained):
        return None
    run = load_run(archetypes.pretrained)
    if run.params is None:
        raise UserError(f"archetypes.pretrained: {archetypes.pretrained} has no flow")
    ours, theirs = _density_keys(config), _density_keys(run.config)
    changes = [f"config.{key}={_flag(theirs[key])}" for key in ours if ours[key] != theirs[key]]
    if changes:
        raise UserError(f"archetypes.pretrained: {archetypes.pretrained} is another flow; set "
                        f"{' '.join(changes)}")
    of_data = [field.name for field in dataclasses.fields(spec)
               if field.name in ("shape", "n_levels", "mean", "std", "n_classes")
               and getattr(spec, field.name) != getattr(run.spec, field.name)]
    if of_data:
        raise UserError(f"archetypes.pretrained: {archetypes.pretrained} was trained on other data "
                        f"({', '.join(of_data)} differ); give the data it was trained on")
    return run.params


def _density_keys(config: ConfigDict) -> dict[str, Any]:
    """The keys on which the density of given parameters depends."""
    blocks = {"flow": dataclasses.asdict(read(FlowFields, config)),
              "likelihood": dataclasses.asdict(read(LikelihoodFields, config))}
    keys = {f"{block}.{name}": value for block, fields in blocks.items()
            for name, value in fields.items()}
    return {"seed": config.seed} | {key: keys[key] for key in keys if key not in _FREE_KEYS}


def _flag(value: Any) -> str:
    """A value as a shell takes it."""
    return f"'{value}'" if isinstance(value, tuple) else f"{value}"
