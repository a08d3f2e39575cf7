"""Phases of training: from some step on another loss, perhaps with parameters set anew."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from flowaa.training.state import Params, TrainState
from flowaa.training.step import Loss


@dataclasses.dataclass(frozen=True)
class Phase:
    """From which step on a loss is trained, and what is done to the parameters before."""

    first_step: int
    loss: Loss
    prepare: Callable[[Params], Params] | None = None  # on the host

    def enter(self, state: TrainState) -> TrainState:
        """The state that the phase begins with; a state from within the phase stays as it is."""
        if int(state.step) != self.first_step or self.prepare is None:
            return state
        params = self.prepare(state.params)
        ema_params = state.ema_params
        if ema_params is not None:  # an average begins anew with the parameters
            ema_params = jax.tree.map(jnp.copy, params)
        return TrainState(state.step, params, state.opt_state, ema_params)
