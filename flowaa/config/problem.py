"""What a run trains: the density's negative log-likelihood, or archetypes with it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowaa.config.archetypes import (
    ArchetypeFields,
    build_archetypes,
    read_archetypes,
)
from flowaa.config.fields import read, read_seed
from flowaa.config.flow import FlowFields, LikelihoodFields
from flowaa.config.optimizer import build_optimizer
from flowaa.config.training import TrainingFields
from flowaa.data.batches import Labelled
from flowaa.data.dataset import Dataset
from flowaa.errors import UserError
from flowaa.flow.density import Density
from flowaa.flow.reversibility import with_memory
from flowaa.training.archetypes.objective import (
    ArchetypeModel,
    archetype_objective,
    archetype_values,
)
from flowaa.training.archetypes.simplex_start import start_latent
from flowaa.training.guard import ReversibilityGuard
from flowaa.training.objective import evaluation_values, nll_loss
from flowaa.training.problem import Phase, Problem
from flowaa.training.state import Params


def build_problem(
    config: ConfigDict, density: Density, dataset: Dataset | None = None, flow_params: Params = None
) -> Problem:
    """The losses, figures and optimizer of a run.

    Args:
        config: the run's.
        density: the flow's.
        dataset: the rows that archetypes, or a readout, start from.
        flow_params: of a flow trained before, in which archetypes are to be found.
    """
    archetypes = read_archetypes(config)
    flow, training = read(FlowFields, config), read(TrainingFields, config)
    if archetypes.n_archetypes and flow.base != "simplex":
        assert dataset is not None, "archetypes start from rows"
        return _archetype_problem(config, archetypes, density, dataset, flow_params)
    loss = nll_loss(density, with_dropout=flow.dropout > 0)
    phases: tuple[Phase, ...] = ()
    if flow.readout and dataset is not None:
        start = None if archetypes.start == "random" else functools.partial(
            start_latent, density, dataset.train, n_rows=archetypes.start_rows,
            seed=read_seed(config))
        phases = (Phase(0, loss, start),)
    guard = None
    if flow.memory == "reversible" and training.check_reversible_steps:
        stored = dataclasses.replace(density, flow=with_memory(density.flow, "stored"))
        guard = ReversibilityGuard(
            density, nll_loss(stored, with_dropout=flow.dropout > 0),
            every_steps=training.check_reversible_steps,
            min_cosine=training.min_reversible_cosine,
        )
    n_samples = read(LikelihoodFields, config).evaluation_samples
    return Problem(
        init=lambda key, rows: density.init(key, rows.x, rows.y, rows.context),
        loss=loss,
        values=evaluation_values(density, n_samples=n_samples),
        optimizer=build_optimizer(config),
        n_dims=density.flow.n_dims,
        guard=guard,
        phases=phases,
        validation_loss=f"{'conditional_' if density.mixes_classes else ''}bits_per_dim",
    )


def _archetype_problem(
    config: ConfigDict, fields: ArchetypeFields, density: Density, dataset: Dataset,
    flow_params: Params,
) -> Problem:
    """Archetypes and flow together, perhaps after the flow alone; or on a frozen flow."""
    if read(TrainingFields, config).check_reversible_steps:
        raise UserError("training.check_reversible_steps: there is no such check with archetypes; "
                        "set it to 0")
    model = build_archetypes(config, dataset.spec, density)
    assert isinstance(model, ArchetypeModel)
    objective = functools.partial(archetype_objective, model, freeze_flow=fields.freeze_flow,
                                  with_dropout=read(FlowFields, config).dropout > 0)

    def init(key: jax.Array, rows: Labelled) -> Params:
        params = model.init(key, rows.x, rows.y)
        if flow_params is None:
            return params
        if jax.tree.map(jnp.shape, params["flow"]) != jax.tree.map(jnp.shape, flow_params):
            raise UserError(f"archetypes.pretrained: {fields.pretrained} is another flow; give "
                            "its config's flow block, or leave archetypes.pretrained out")
        return {**params, "flow": flow_params}

    return Problem(
        init=init,
        loss=objective(fields.loss_weights),
        values=archetype_values(model, fields.loss_weights),
        optimizer=build_optimizer(config),
        n_dims=density.flow.n_dims,
        phases=fields.phases(objective, model, dataset.train, seed=config.seed),
        validation_loss="loss",
    )
