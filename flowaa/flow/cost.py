"""What a training step costs: floating-point operations and memory, as functions of the batch.

Operations are counted on the gradient's jaxpr: products and convolutions, which are all but a few
per cent of them. Memory is a line in the batch size through two programs that XLA compiles, without
running them, for shapes of any size; `relative_error` holds the line against a third.
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
    temp_bytes_fixed: float  # what the compiled gradient needs besides, at any batch
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
    x, label = _examples(flow, batch_size)
    return jax.jit(jax.grad(_loss(flow))).lower(params, x, label).compile()


def gradient_flops(flow: Flow, params: Params, batch_size: int) -> int:
    """Operations of the products and convolutions of one gradient."""
    x, label = _examples(flow, batch_size)
    return count_flops(jax.make_jaxpr(jax.grad(_loss(flow)))(params, x, label).jaxpr)


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
    return lambda params, x, label: -bound(flow, params).log_prob(x, label).mean()


def _examples(flow: Flow, batch_size: int) -> tuple[Any, Any]:
    """Shapes of a batch and of its labels."""
    label = jax.ShapeDtypeStruct((batch_size,), jnp.int32) if flow.n_condition_classes else None
    return jax.ShapeDtypeStruct((batch_size, *flow.shape), jnp.float32), label


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
