"""How far a reversible chain's gradients can be trusted, and which block is to blame.

Reversible backpropagation recovers each block's input from its output, in floating point. The error
grows with depth and with the blocks' scales; here it is measured against the stored activations.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from flowaa.bijectors.base import Params, bound
from flowaa.bijectors.chain import Memory
from flowaa.flow.flow import Flow

Array = jax.Array


@flax.struct.dataclass
class Reversibility:
    """What `measure_reversibility` finds; a pytree."""

    reconstruction_error: Array  # [] largest |x' - x| after encode and the way back
    gradient_cosine: Array  # [] of reversible against stored gradients of the mean NLL
    gradient_error: Array  # [] norm of their difference over the stored gradient's norm
    block_errors: Array  # [blocks] largest |f^-1(f(x)) - x| of each block at its own input


def measure_reversibility(
    flow: Flow, params: Params, x: Array, label: Array | None
) -> Reversibility:
    """Compares the reversible mode of a flow with the stored mode; pure, to be jitted.

    Args:
        flow: in whatever memory mode.
        params: its parameters.
        x: examples [B, *shape] in the model's units; any, also far from the data.
        label: their labels, for a conditional flow.
    """
    trained = bound(flow, params)
    z, _ = trained.encode(x, label)
    back, _ = trained.decode(z, label)
    reversible, stored = (_gradient(flow, memory, params, x, label)
                          for memory in ("reversible", "stored"))
    norm = jnp.linalg.norm(stored)
    return Reversibility(
        reconstruction_error=jnp.abs(back - x).max(),
        gradient_cosine=reversible @ stored / (norm * jnp.linalg.norm(reversible)),
        gradient_error=jnp.linalg.norm(reversible - stored) / norm,
        block_errors=trained.bijector.round_trip_errors(x, flow.condition(label)),
    )


def worst_block(flow: Flow, found: Reversibility) -> str:
    """The block with the largest error of its own, e.g. `block 12 (Coupling)`."""
    # A NaN is the worst of errors, and argmax finds it.
    index = int(jnp.argmax(found.block_errors))
    return f"block {index} ({type(flow.bijector.blocks[index]).__name__})"


def with_memory(flow: Flow, memory: Memory) -> Flow:
    """The same flow, whose backpropagation keeps what `memory` says."""
    return dataclasses.replace(
        flow, bijector=dataclasses.replace(flow.bijector, memory=memory)
    )


def _gradient(flow: Flow, memory: Memory, params: Params, x: Array, label: Array | None) -> Array:
    """The gradient [P] of the mean NLL with respect to all parameters."""

    def loss(params: Params) -> Array:
        return -bound(with_memory(flow, memory), params).log_prob(x, label).mean()

    # One vector: three products of thousands of arrays would take longer to compile than the flow.
    return ravel_pytree(jax.grad(loss)(params))[0]
