"""One step of training and one of evaluation: pure functions over the named axis `batch`.

Each device holds its share of the global batch; gradients and metrics are averaged over the axis.
An example's dequantisation noise and dropout masks depend on its place in the global batch alone,
so that the number of devices changes nothing but the order of sums.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
import optax

from flowaa.data.batches import Labelled
from flowaa.training.faults.skipping import SKIPPED, was_skipped
from flowaa.training.state import Params, TrainState

AXIS = "batch"
Metrics = dict[str, jax.Array]


class Loss(Protocol):
    """A loss over one device's share of the global batch."""

    def __call__(
        self, params: Params, batch: Labelled, example_ids: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Mean loss [] and scalar metrics; ids are places in the global batch, `key` the step's."""
        ...


def train_step(
    state: TrainState,
    batch: Labelled,
    key: jax.Array,
    *,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
) -> tuple[TrainState, Metrics]:
    """Takes one step; runs under a map over `AXIS`.

    Args:
        state: before the step, the same on all devices.
        batch: this device's share.
        key: the run's key; that of the step is folded from it.
        loss: of a device's share of the batch.
        optimizer: makes updates of the gradient, which is averaged over the global batch.
        ema_decay: share of the averaged parameters that a step keeps; what remains is that of the
            new parameters.

    Returns:
        The state after the step and the step's metrics, averaged over the global batch; those of a
        step that the optimizer skipped are 0, but for `SKIPPED`.
    """
    step_key = jax.random.fold_in(key, state.step)
    (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
        state.params, batch, global_ids(len(batch.x)), step_key
    )
    gradient, metrics = jax.lax.pmean((gradient, metrics), AXIS)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    is_skipped = was_skipped(opt_state)
    params = optax.apply_updates(state.params, updates)
    ema_params = None
    if state.ema_params is not None:
        # Early on the average forgets faster, else it would long remember the initialisation.
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema_params = optax.incremental_update(params, state.ema_params, 1.0 - decay)
    metrics["gradient_norm"] = optax.global_norm(gradient)
    # Of a skipped step nothing is counted but that it was: its figures may be NaN.
    metrics = {name: jnp.where(is_skipped, 0.0, value) for name, value in metrics.items()}
    metrics[SKIPPED] = is_skipped.astype(jnp.float32)
    return TrainState(state.step + 1, params, opt_state, ema_params), metrics


def global_ids(n_examples: int) -> jax.Array:
    """Places of this device's examples in the global batch: [n_examples] int32."""
    return jax.lax.axis_index(AXIS) * n_examples + jnp.arange(n_examples)
