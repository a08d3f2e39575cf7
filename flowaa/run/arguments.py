"""Checks of what a run's methods are given; each raises a `UserError` of one line."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.arguments import check_memory, whole_array
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError


def examples(x: Any, spec: DataSpec) -> Any:
    """Examples [B, *shape]: float32, or levels as uint8 or int32.

    Values are not checked within a function that JAX traces.

    Raises:
        UserError: the shape is another, a value is NaN or infinite, or it is no level.
    """
    if isinstance(x, jax.core.Tracer):
        _check_shape(x, spec)
        return x
    x = _numbers(x, "x")
    _check_shape(x, spec)
    if not spec.n_levels:
        with np.errstate(over="ignore"):
            return finite(x.astype(np.float32), "x")
    finite(x, "x")
    highest = spec.n_levels - 1
    if x.size and (x.min() < 0 or x.max() > highest):
        wrong = x.min() if x.min() < 0 else x.max()
        raise UserError(f"x holds {wrong}, which is no level: this run's are 0 … {highest}")
    if x.dtype.kind == "f" and x.size and (
        (x != np.rint(x)).any() or (highest > 1 and 0 < x.max() <= 1)
    ):
        raise UserError(f"x holds floats that are no levels, e.g. {x[x != 0].flat[0]:.6g}; this "
                        f"run's are whole, 0 … {highest}: if yours are divided by {highest}, give "
                        f"(x * {highest}).round()")
    return x.astype(np.uint8 if spec.n_levels <= 256 else np.int32)


def finite(array: Any, name: str) -> Any:
    """The array, all of whose rows are finite."""
    if not isinstance(array, jax.core.Tracer):
        broken = ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
        if broken.any():
            raise UserError(f"{name} holds NaN or infinite values in row {broken.argmax()} (from "
                            f"0) and {broken.sum() - 1} others; leave such rows out")
    return array


def matrix(array: Any, name: str, n_columns: int) -> Any:
    """Finite rows [B, n_columns], float32."""
    array = array if isinstance(array, jax.core.Tracer) else _numbers(array, name)
    if array.ndim != 2 or array.shape[1] != n_columns:
        raise UserError(f"{name} has shape {array.shape}, not [B, {n_columns}]")
    with np.errstate(over="ignore"):  # `finite` names what overflows
        return finite(array.astype(jnp.float32), name)


def labels(label: Any, n: int, spec: DataSpec, *, are_used: bool, are_needed: bool) -> Any:
    """Labels [n] int32 of one class index or [n] of them; None where none are given."""
    if label is None:
        if are_needed:
            raise UserError("this run is conditional: give label, a class index or one for each "
                            "example")
        return None
    if not spec.n_classes:
        raise UserError("label was given, but this run's data has no labels; leave it out")
    if not are_used:
        raise UserError("label was given, but nothing in this run depends on labels; leave it out, "
                        "or train with config.flow.conditional=True")
    if isinstance(label, jax.core.Tracer):
        return jnp.broadcast_to(label, (n,))
    label = whole_array(label, "label")
    if label.dtype.kind not in "iu" or label.size == 0 or (
        label.min() < 0 or label.max() >= spec.n_classes
    ):
        raise UserError(f"label must be integers from 0 to {spec.n_classes - 1}")
    if label.shape not in ((), (n,)):
        raise UserError(f"label has shape {label.shape}; give one class index or {n} of them")
    return np.broadcast_to(label.astype(np.int32), (n,))


def context_rows(context: Any, n: int, width: int) -> Any:
    """A context [n, width] float32 of one row [width] or [n, width]; None where width is 0."""
    if context is None:
        if width:
            raise UserError("this run depends on a context: give context, one row "
                            f"({width} numbers) or one for each example")
        return None
    if not width:
        raise UserError("context was given, but this run depends on none; leave it out")
    context = context if isinstance(context, jax.core.Tracer) else np.atleast_1d(
        _numbers(context, "context"))
    if context.ndim < 2:
        context = context.reshape(-1, width) if context.size == width else context[:, None]
    if context.shape not in ((1, width), (n, width)):
        raise UserError(f"context has shape {context.shape}; give ({n}, {width}) or ({width},)")
    context = matrix(context, "context", width)
    return (jnp if isinstance(context, jax.core.Tracer) else np).broadcast_to(context, (n, width))


def count(n: Any, spec: DataSpec) -> int:
    """A number of draws, which the machine's memory can hold."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise UserError(f"n is {n!r}; give a whole number, at least one")
    check_memory(4 * int(n) * math.prod(spec.shape), f"n is {n}: so many draws need",
                 "draw fewer at a time")
    return int(n)


def temperature_of(temperature: Any) -> float:
    """A finite number of float32, 0 or larger."""
    try:
        value = float(temperature)
    except (TypeError, ValueError, OverflowError):
        value = np.nan
    if not 0 <= value <= float(np.finfo(np.float32).max):
        raise UserError(f"temperature is {temperature!r}; it must be a number of float32, "
                        "0 or larger")
    return value


def _numbers(values: Any, name: str) -> np.ndarray:
    """An array of real numbers."""
    array = whole_array(values, name)
    if array.dtype == jnp.bfloat16:  # which NumPy does not take for a number
        return array.astype(np.float32)
    if array.dtype.kind not in "buif":
        raise UserError(f"{name} has type {array.dtype}; give numbers")
    return array


def _check_shape(x: Any, spec: DataSpec) -> None:
    if x.ndim != 1 + len(spec.shape) or x.shape[1:] != spec.shape:
        raise UserError(f"x has shape {x.shape}; this run's examples are "
                        f"[B, {', '.join(map(str, spec.shape))}]")
