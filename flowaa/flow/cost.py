"""Floating-point operations and memory of a training step, as functions of the batch size.

Operations are counted on the gradient's jaxpr: products and convolutions, which are all but a few
per cent of them. Memory is linear in the batch size: the line goes through the temporary bytes of
two programs that XLA compiles and does not run.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flowaa.bijectors.base import Params, bound
from flowaa.flow.flow import Flow


@dataclasses.dataclass(frozen=True)
class StepCost:
    """The cost of one training step of a flow on one device."""

    n_params: int
    state_bytes: int  # parameters, their gradient and the optimiser's state
    temp_bytes_fixed: float  # temporary bytes of the compiled gradient at batch size 0
    temp_bytes_per_example: float
    flops_per_example: float

    def temp_bytes(self, batch_size: int) -> float:
        """Activations and scratch space of the gradient at this batch size."""
        return self.temp_bytes_fixed + self.temp_bytes_per_example * batch_size

    def largest_batch(self, device_bytes: float) -> int:
        """The largest batch that fits in a device's memory; 0 where none does."""
        room = device_bytes - self.state_bytes - self.temp_bytes_fixed
        return max(0, math.floor(room / self.temp_bytes_per_example))


def step_cost(
    flow: Flow, optimizer: optax.GradientTransformation, batch_sizes: tuple[int, int]
) -> StepCost:
    """Measures a flow's cost by compiling its gradient at two batch sizes."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(flow.init, key, *_examples(flow, 2))["params"]
    opt_state = jax.eval_shape(optimizer.init, params)
    small, large = batch_sizes
    at_small, at_large = (compiled_temp_bytes(flow, params, size) for size in batch_sizes)
    per_example = (at_large - at_small) / (large - small)
    return StepCost(
        n_params=sum(leaf.size for leaf in jax.tree.leaves(params)),
        state_bytes=2 * _bytes(params) + _bytes(opt_state),
        temp_bytes_fixed=at_small - per_example * small,
        temp_bytes_per_example=per_example,
        flops_per_example=gradient_flops(flow, params, small) / small,
    )


def compiled_temp_bytes(flow: Flow, params: Params, batch_size: int) -> int:
    """XLA's temporary memory of the gradient at a batch size; nothing is run."""
    return compiled_gradient(flow, params, batch_size).memory_analysis().temp_size_in_bytes


def compiled_gradient(flow: Flow, params: Params, batch_size: int) -> Any:
    """The compiled gradient of the mean negative log-likelihood."""
    return jax.jit(jax.grad(_loss(flow))).lower(params, *_examples(flow, batch_size)).compile()


def gradient_flops(flow: Flow, params: Params, batch_size: int) -> int:
    """Operations of the products and convolutions of one gradient."""
    examples = _examples(flow, batch_size)
    return count_flops(jax.make_jaxpr(jax.grad(_loss(flow)))(params, *examples).jaxpr)


def count_flops(jaxpr: Any) -> int:
    """Twice the multiply-adds of all products and convolutions in a jaxpr, and in those within."""
    total = 0
    for equation in jaxpr.eqns:
        repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += repeats * sum(count_flops(inner) for inner in _inner_jaxprs(equation.params))
        output = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * output * math.prod(shape[axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            features_axis = equation.params["dimension_numbers"].rhs_spec[0]
            total += 2 * output * math.prod(kernel) // kernel[features_axis]
    return total


def _inner_jaxprs(params: dict[str, Any]) -> Iterable[Any]:
    """The jaxprs an equation calls; a custom rule's own jaxpr is the one that runs."""
    for value in params.values():
        for entry in value if isinstance(value, (tuple, list)) else (value,):
            jaxpr = getattr(entry, "jaxpr", entry)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr


def _loss(flow: Flow) -> Any:
    return lambda params, *given: -bound(flow, params).log_prob(*given).mean()


def _examples(flow: Flow, batch_size: int) -> tuple[Any, Any, Any]:
    """Shapes of a batch, of its labels and of its context."""
    label = jax.ShapeDtypeStruct((batch_size,), jnp.int32) if flow.n_condition_classes else None
    width = len(flow.context_mean)
    context = jax.ShapeDtypeStruct((batch_size, width), jnp.float32) if width else None
    return jax.ShapeDtypeStruct((batch_size, *flow.shape), jnp.float32), label, context


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
