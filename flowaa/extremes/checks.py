"""Argument checks; each raises a one-line UserError.

Only values that are known while Python runs are checked: a traced array passes through, so that
the functions stay compilable. A traced value outside its range gives NaN or an empty tail.
"""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.arguments import check_memory, shown, whole_array
from flowaa.errors import UserError

Shapes = tuple[tuple[int, ...], ...]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


def require_count(value: Any, name: str, *, least: int = 1, most: int | None = None) -> int:
    """Returns a static whole number that is at least `least`.

    Args:
        value: a Python or NumPy integer; it fixes a shape or a law, so it can't be traced.
        name: what the number is called in the message.
        least: the smallest value allowed.
        most: the largest value allowed; None for any.

    Raises:
        UserError: if `value` is no whole number, too small or too large.
    """
    try:
        number = operator.index(value)
    except (TypeError, jax.errors.JAXTypeError):
        raise UserError(f"{name} must be a whole number known before compilation, "
                        f"not {shown(value)}") from None
    too_many = most is not None and number > most
    if isinstance(value, (bool, np.bool_)) or number < least or too_many:
        raise UserError(f"{name} is {shown(value)}; it must be a whole number of at least {least}"
                        + (f" and at most {most:,}" if too_many else ""))
    return number


def require_draws(n: Any, d: Any, *, least: int = 1) -> tuple[int, int]:
    """Returns numbers of draws and of dimensions, the latter at least `least`.

    Raises:
        UserError: if one is no whole number, or the machine's memory cannot hold the draws.
    """
    n = require_count(n, "n, the number of draws,")
    d = require_count(d, "d, the number of dimensions,", least=least)
    require_memory((n, d), f"{n:.4g} draws of {d:.4g} numbers" if max(n, d) < 1e300
                   else "so many draws")
    return n, d


def require_memory(shape: tuple[int, ...], what: str) -> None:
    """Raises a `UserError` where two arrays of this shape do not fit into memory.

    A draw is made of random bits of its own size.
    """
    size = 2 * jnp.dtype(jnp.result_type(float)).itemsize
    for length in shape:
        size *= length
    check_memory(size, f"{what} need", "draw fewer at a time, see flowaa.extremes.stream")


def require_positive(
    value: Any, name: str, *, least: float = 0.0, most: float | None = _FLOAT32_MAX,
    shapes: Shapes | None = None,
) -> None:
    """Checks that a number is finite, positive, not below `least` and not above `most`.

    Args:
        value: a number or an array; of traced values the shape alone is checked.
        name: what the number is called in the message.
        least: the smallest value allowed; 0 allows every positive number.
        most: the largest value allowed: what float32 holds, or None where the value is used in
            float64.
        shapes: those allowed; None for any.

    Raises:
        UserError: if any entry is NaN, infinite, not positive, or outside the bounds.
    """
    entries = known(value, name, shapes)
    if entries is None or np.all(np.isfinite(entries) & (entries > 0) & (entries >= least)
                                 & (entries <= (np.inf if most is None else most))):
        return
    bound = f"of at least {least:g}" if least > 0 else "above 0"
    if most is not None and np.any(np.isfinite(entries) & (entries > most)):
        bound += f" and at most {most:.3g}"
    raise UserError(f"{name} is {shown(value)}; it must be a finite number {bound}")


def require_inside(
    value: Any, name: str, low: float, high: float, *, shapes: Shapes | None = None,
) -> None:
    """Checks that a number lies strictly between two bounds.

    Args:
        value: a number or an array; of traced values the shape alone is checked.
        name: what the number is called in the message.
        low: the lower bound, itself excluded.
        high: the upper bound, itself excluded.
        shapes: those allowed; None for any.

    Raises:
        UserError: if any entry is NaN, at a bound, or beyond it.
    """
    entries = known(value, name, shapes)
    if entries is None or np.all((entries > low) & (entries < high)):
        return
    raise UserError(f"{name} is {shown(value)}; it must lie strictly between {low:g} and {high:g}")


def require_finite(value: Any, name: str, *, shapes: Shapes | None = None) -> None:
    """Checks that a number is finite and that float32 holds it; arguments as `require_inside`."""
    entries = known(value, name, shapes)
    if entries is not None and not np.all(np.abs(entries) <= _FLOAT32_MAX):
        raise UserError(f"{name} is {shown(value)}; it must be finite, at most {_FLOAT32_MAX:.3g} "
                        "in size")


def rows(n: int) -> Shapes:
    """The shapes of a number for each of n rows, or of one for all."""
    return ((), (1,), (n,))


def require_one_of(**given: Any) -> str:
    """Returns the name of the one argument that is not None.

    Raises:
        UserError: if none or several are given.
    """
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        said = " and ".join(names) if names else "none"
        raise UserError(f"give exactly one of {', '.join(given)}; given: {said}")
    return names[0]


def require_numbers(value: Any, name: str) -> np.ndarray:
    """Returns numbers [...] in float64, NaN among them; none may be traced."""
    entries = known(value, name)
    if entries is None:
        raise UserError(f"{name} is traced by JAX, but this computes in NumPy; call it outside jit")
    return entries


def require_values(x: Any, name: str, *, least: int) -> np.ndarray:
    """Returns a row of finite values [N] in float64.

    Raises:
        UserError: if it is no row, has NaN or infinite values, or fewer than `least`.
    """
    entries = require_numbers(x, name)
    if entries.ndim != 1:
        raise UserError(f"{name} must be one row of known numbers, [N]; it has the shape "
                        f"{np.shape(x)}")
    if n_bad := np.sum(~np.isfinite(entries)):
        raise UserError(f"{name} has {n_bad} NaN or infinite values among {len(entries)}; leave "
                        "them out")
    if len(entries) < least:
        raise UserError(f"{name} has {len(entries)} values; at least {least} are needed")
    return entries


def gaussian(mean: Any, scale: Any, n: int, d: int) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviations of each row's class: numbers, [d] or [n, d], as arrays.

    Raises:
        UserError: if a shape is another, a mean is not finite or a scale not above 0.
    """
    shapes = ((), (d,), (n, d))
    require_finite(mean, "mean", shapes=shapes)
    require_positive(scale, "scale", shapes=shapes)
    return reals(mean, "mean"), reals(scale, "scale")


def reals(value: Any, name: str, *, least_axes: int = 0) -> jax.Array:
    """An array [...] of a float type: the value's own, or the default one.

    Args:
        value: numbers, converted in float64, so that 2⁴⁰ is no int32; or a traced array.
        name: what they are called in the message.
        least_axes: the fewest axes allowed, none of them empty.

    Raises:
        UserError: if they are no real numbers or have too few axes.
    """
    if isinstance(value, jax.core.Tracer):
        array = jnp.asarray(value, jnp.result_type(value, float))
    else:
        entries, own = known(value, name), getattr(value, "dtype", np.dtype(int))
        assert entries is not None
        with np.errstate(over="ignore"):  # infinite in float32, as the limit of what follows
            array = jnp.asarray(entries, jax.dtypes.canonicalize_dtype(
                own if jnp.issubdtype(own, jnp.floating) else float))
    if array.ndim < least_axes or (least_axes and not array.size):
        raise UserError(f"{name} has the shape {array.shape}; it must have at least {least_axes} "
                        f"{'axis' if least_axes == 1 else 'axes'} and one entry")
    return array


def log_of(value: Any) -> jax.Array:
    """Natural logarithm in the default float type; of known values in float64 first.

    float32 cannot hold 1e300, and int32 not 10¹².
    """
    if isinstance(value, jax.core.Tracer):
        return jnp.log(value)
    with np.errstate(divide="ignore", invalid="ignore"):
        return jnp.asarray(np.log(np.asarray(value, np.float64)), jnp.result_type(float))


def log_complement(value: Any) -> jax.Array:
    """Logarithm of 1 − value, likewise: 1 − 1e-12 is not 1."""
    if isinstance(value, jax.core.Tracer):
        return jnp.log1p(-value)
    with np.errstate(divide="ignore", invalid="ignore"):
        return jnp.asarray(np.log1p(-np.asarray(value, np.float64)), jnp.result_type(float))


def known(value: Any, name: str, shapes: Shapes | None = None) -> np.ndarray | None:
    """The entries of `value` [...] in double precision, or None where they are traced.

    Raises:
        UserError: if they are text, truth values, missing or no real numbers, or of another shape.
    """
    is_traced = isinstance(value, jax.core.Tracer)
    if is_traced or value is None or isinstance(value, str):
        entries = None
    else:
        array = whole_array(value, name)
        is_number = array.dtype.kind in "iuf" or jnp.issubdtype(array.dtype, jnp.floating)
        entries = array.astype(np.float64) if is_number else None
    if entries is None and not is_traced:
        raise UserError(f"{name} is {shown(value)}; it must be a number")
    if shapes is not None and np.shape(value) not in shapes:
        wanted = " or ".join(str(list(shape)) if shape else "a number" for shape in shapes)
        raise UserError(f"{name} has the shape {np.shape(value)}; it must be {wanted}")
    return entries
