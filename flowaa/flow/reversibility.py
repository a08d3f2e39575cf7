"""The error of a reversible chain's gradients, and the block whose own error is largest.

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
    """The figures of `measure_reversibility`; a pytree."""

    reconstruction_error: Array  # [] largest |decode(encode(u)) - u|
    gradient_cosine: Array  # [] of reversible against stored gradients of the mean NLL
    gradient_error: Array  # [] norm of their difference / norm of the stored gradient
    block_errors: Array  # [blocks] largest |f^-1(f(x)) - x| of each block at its own input


def measure_reversibility(
    flow: Flow, params: Params, u: Array, label: Array | None, context: Array | None = None
) -> Reversibility:
    """Compares the reversible mode of a flow with the stored mode; pure, to be jitted.

    Args:
        flow: in whatever memory mode.
        params: its parameters.
        u: examples [B, *shape] in the model's units; any, also far from the data.
        label: their labels, for a conditional flow.
        context: their context [B, E], for a flow that depends on one.
    """
    trained = bound(flow, params)
    z, _ = trained.encode(u, label, context)
    back, _ = trained.decode(z, label, context)
    reversible, stored = (_gradient(flow, memory, params, u, label, context)
                          for memory in ("reversible", "stored"))
    norm = jnp.linalg.norm(stored)
    return Reversibility(
        reconstruction_error=jnp.abs(back - u).max(),
        gradient_cosine=reversible @ stored / (norm * jnp.linalg.norm(reversible)),
        gradient_error=jnp.linalg.norm(reversible - stored) / norm,
        block_errors=trained.bijector.round_trip_errors(u, flow.condition(label, context)),
    )


def worst_block(flow: Flow, measured: Reversibility) -> str:
    """The block with the largest round-trip error at its own input, e.g. `block 12 (Coupling)`."""
    # argmax takes a NaN for the largest.
    index = int(jnp.argmax(measured.block_errors))
    return f"block {index} ({type(flow.bijector.blocks[index]).__name__})"


def with_memory(flow: Flow, memory: Memory) -> Flow:
    """The same flow in another memory mode."""
    return dataclasses.replace(
        flow, bijector=dataclasses.replace(flow.bijector, memory=memory)
    )


def _gradient(
    flow: Flow, memory: Memory, params: Params, u: Array, label: Array | None,
    context: Array | None,
) -> Array:
    """The gradient [P] of the mean NLL with respect to all parameters."""

    def loss(params: Params) -> Array:
        return -bound(with_memory(flow, memory), params).log_prob(u, label, context).mean()

    # One vector: three inner products of thousands of arrays would take long to compile.
    return ravel_pytree(jax.grad(loss)(params))[0]
