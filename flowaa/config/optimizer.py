"""`config.optimizer`: its fields, and the optax chain they describe."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal

import jax
import optax
from ml_collections import ConfigDict

from flowaa.config.archetypes import read_archetypes
from flowaa.config.fields import COUNT_0, FROM_0, POSITIVE, SHARE, UNIT, read
from flowaa.config.training import TrainingFields
from flowaa.training.faults.skipping import skip_unsound
from flowaa.training.state import Params


@dataclasses.dataclass(frozen=True)
class OptimizerFields:
    """The keys of `config.optimizer`, which `configs/default.py` explains."""

    block: ClassVar[str] = "optimizer"
    name: Literal["adam", "adamw"]
    learning_rate: Annotated[float, POSITIVE]
    schedule: Literal["constant", "cosine"]
    warmup_steps: Annotated[int, COUNT_0]
    final_learning_rate_fraction: Annotated[float, UNIT]
    weight_decay: Annotated[float, FROM_0]
    clip_norm: Annotated[float, FROM_0]
    skip_norm: Annotated[float, FROM_0]
    ema_decay: Annotated[float, SHARE]


def build_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """The optax chain of `config.optimizer`; a frozen flow's parameters stay as they are."""
    optimizer, archetypes = read(OptimizerFields, config), read_archetypes(config)
    schedule = build_schedule(optimizer, steps=read(TrainingFields, config).steps)
    chain = [optax.clip_by_global_norm(optimizer.clip_norm)] if optimizer.clip_norm else []
    if optimizer.name == "adam":
        chain.append(optax.adam(schedule))
    else:
        chain.append(optax.adamw(
            schedule, weight_decay=optimizer.weight_decay, mask=kernels))
    trained: optax.GradientTransformation = optax.chain(*chain)
    if archetypes.n_archetypes and archetypes.freeze_flow:
        parts = {"flow": "frozen", "heads": "trained"}
        trained = optax.multi_transform({"frozen": optax.set_to_zero(), "trained": trained}, parts)
    return skip_unsound(trained, optimizer.skip_norm)


def build_schedule(optimizer: OptimizerFields, *, steps: int) -> optax.Schedule:
    """The learning rate by step: a linear warm-up from 0, then constant or half a cosine."""
    peak, warmup = optimizer.learning_rate, min(optimizer.warmup_steps, steps // 2)
    first = 0.0 if warmup else peak
    if optimizer.schedule == "constant":
        return optax.linear_schedule(first, peak, max(warmup, 1))
    return optax.warmup_cosine_decay_schedule(
        first, peak, warmup, steps, peak * optimizer.final_learning_rate_fraction)


def kernels(params: Params) -> Any:
    """The parameters that weight decay draws to zero, a tree of bools: kernels, by their name.

    Biases, scales, means, lengths and vertices have no reason to be near zero.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
