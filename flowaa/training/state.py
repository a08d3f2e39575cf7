"""The state of training: all that changes from step to step."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

Params = Any


@flax.struct.dataclass
class TrainState:
    """A pytree; with the config and the seed it determines all that follows.

    Random keys and the data's position are functions of seed and `step`, so that they need no room.
    """

    step: jax.Array  # [] int32: steps taken
    params: Params
    opt_state: optax.OptState
    ema_params: Params | None  # exponential moving average of params; None where it is off

    @property
    def evaluation_params(self) -> Params:
        """The averaged parameters where there are any, else the parameters."""
        return self.params if self.ema_params is None else self.ema_params

    def without_evaluation_params(self) -> "TrainState":
        """The rest of the state, beside `evaluation_params`."""
        if self.ema_params is None:
            return dataclasses.replace(self, params=None)
        return dataclasses.replace(self, ema_params=None)

    def with_evaluation_params(self, params: Params) -> "TrainState":
        """The inverse of `without_evaluation_params`."""
        if self.params is None:
            return dataclasses.replace(self, params=params)
        return dataclasses.replace(self, ema_params=params)


def create_state(
    params: Params, optimizer: optax.GradientTransformation, *, with_ema: bool
) -> TrainState:
    """The state before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        # A copy: donated buffers may not be shared by two entries of the state.
        ema_params=jax.tree.map(jnp.copy, params) if with_ema else None,
    )


def n_params(params: Params) -> int:
    """How many numbers are learned."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
