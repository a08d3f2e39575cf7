"""What is trained, and for how long: the training loop's input."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from flowaa.data.batches import Labelled
from flowaa.errors import UserError
from flowaa.training.guard import ReversibilityGuard
from flowaa.training.parallel import Values
from flowaa.training.state import Params, TrainState
from flowaa.training.step import Loss


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How long, how often and on what; the config's `training` block, typed."""

    batch_size: int
    steps: int
    steps_per_call: int
    log_every_steps: int
    evaluate_every_steps: int
    keep_checkpoints: int
    device_bytes: int
    ema_decay: float
    seed: int
    devices: tuple[jax.Device, ...]
    max_skipped_steps: int = 25  # in a row, which end training
    patience: int = 0  # evaluations without a better one that end training; 0 = off
    max_seconds: float = 0.0  # of training, after which it ends; 0 = off

    def __post_init__(self) -> None:
        for name in ("log_every_steps", "evaluate_every_steps", "steps"):
            value = getattr(self, name)
            if value < 1 or value % self.steps_per_call:
                raise UserError(
                    f"training.{name} is {value}; set it to a multiple of "
                    f"training.steps_per_call={self.steps_per_call}"
                )


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
        params, ema_params = self.prepare(state.params), state.ema_params
        if ema_params is not None:  # an average begins anew with the parameters
            ema_params = jax.tree.map(jnp.copy, params)
        return TrainState(state.step, params, state.opt_state, ema_params)


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is trained: pure functions, free of configs and files."""

    init: Callable[[jax.Array, Labelled], Params]  # from a key and a global batch
    loss: Loss
    values: Values  # per example, for evaluation
    optimizer: optax.GradientTransformation
    n_dims: int
    guard: ReversibilityGuard | None = None
    phases: tuple[Phase, ...] = ()  # by first step, the first at 0; none = `loss` all along
    validation_loss: str = "bits_per_dim"  # the figure of `values` that chooses the best state

    def phase_at(self, step: int) -> Phase:
        """The phase that step `step` + 1 belongs to."""
        return [phase for phase in self._phases if phase.first_step <= step][-1]

    def begins_phase(self, step: int) -> bool:
        """Whether another phase begins after `step` steps."""
        return self.phase_at(step).first_step == step

    def is_chosen_from(self, step: int) -> bool:
        """Whether the state after `step` steps is one that the best is chosen from.

        Those of the last phase are; before it, parts of the model are not trained yet.
        """
        return step > self._phases[-1].first_step

    @property
    def _phases(self) -> tuple[Phase, ...]:
        return self.phases or (Phase(0, self.loss),)
