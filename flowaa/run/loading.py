"""A finished run restored from its folder."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowaa.config.archetypes import build_archetypes
from flowaa.config.flow import build_density
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError
from flowaa.flow.density import Density
from flowaa.run.run import Run
from flowaa.training.archetypes.objective import ArchetypeModel
from flowaa.training.archetypes.simplex import SimplexModel
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.state import Params


def load_run(workdir: str | os.PathLike[str], step: int | None = None) -> Run:
    """Restores a run for analysis; its data set is not needed.

    Args:
        workdir: the folder `experiments.train` wrote.
        step: a checkpoint's step; None takes the best on validation.

    Raises:
        UserError: there is no run, no such step, or no checkpoint that can be read.
    """
    folder = RunFolder(workdir)
    config = ConfigDict(as_tuples(folder.read_config())).lock()
    if not folder.checkpoints.is_dir():
        raise UserError(f"{folder.path} holds no checkpoint yet; train first")
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    try:
        for candidate in checkpoints.candidates(step):
            saved = checkpoints.try_run_of(candidate)
            if saved is None:
                continue
            spec = spec_from_json(saved["data"])
            density = build_density(config, spec)
            model = build_archetypes(config, spec, density)
            like = params_like(spec, model or density)
            params = checkpoints.try_params(candidate, like)
            if params is not None:
                summary = folder.read_summary()
                if summary.get("selected_step") != candidate:
                    summary = {}  # the figures of another checkpoint
                run = run_of(config, spec, jax.tree.map(jnp.asarray, params), candidate, summary)
                return dataclasses.replace(run, folder=folder.path)
    finally:
        checkpoints.close()
    if step is not None:
        raise UserError(f"checkpoint {step} of {folder.path} is damaged; leave step out for the "
                        "best that can be read")
    raise UserError(f"no checkpoint in {folder.checkpoints} can be read; train anew")


def run_of(
    config: ConfigDict, spec: DataSpec, params: Params, step: int,
    summary: Mapping[str, float] | None = None,
) -> Run:
    """The run that trained these parameters."""
    density = build_density(config, spec)
    model = build_archetypes(config, spec, density)
    if model is None:
        return Run(config, spec, density, params, step, summary=summary or {})
    if isinstance(model, SimplexModel):
        return Run(config, spec, density, params, step, model, params, summary or {})
    has_flow = config.archetypes.bottleneck == "flow"
    return Run(config, spec, density, params["flow"] if has_flow else None, step, model, params,
               summary or {})


def spec_to_json(spec: DataSpec) -> dict[str, Any]:
    """What a checkpoint keeps of the data."""
    return dataclasses.asdict(spec)


def spec_from_json(fields: dict[str, Any]) -> DataSpec:
    """The inverse of `spec_to_json`: JSON has lists where a spec has tuples."""
    return DataSpec(**as_tuples(fields))


def params_like(spec: DataSpec, model: Density | ArchetypeModel | SimplexModel) -> Params:
    """Shapes of a model's parameters."""
    x, label = jnp.zeros((2, *spec.shape)), jnp.zeros(2, jnp.int32)
    context = (jnp.zeros((2, spec.context_width)),) if isinstance(model, Density) else ()
    return jax.eval_shape(model.init, jax.random.key(0), x, label, *context)


def as_tuples(value: Any) -> Any:
    """JSON's lists as tuples, all the way down."""
    if isinstance(value, dict):
        return {key: as_tuples(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return tuple(as_tuples(entry) for entry in value)
    return value
