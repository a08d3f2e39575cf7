"""Argument checks; each raises a one-line UserError.

Only values that are known while Python runs are checked: a traced array passes through, so that
the functions stay compilable. A traced value outside its range gives NaN or an empty tail.
"""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.errors import UserError

_FLOAT32_MAX = float(np.finfo(np.float32).max)

def require_count(value: Any, name: str, *, least: int = 1) -> int:
    """Returns a static whole number that is at least `least`.

    Args:
        value: a Python or NumPy integer; it fixes a shape or a law, so it can't be traced.
        name: what the number is called in the message.
        least: the smallest value allowed.

    Raises:
        UserError: if `value` is no whole number or is too small.
    """
    try:
        number = operator.index(value)
    except (TypeError, jax.errors.JAXTypeError):
        raise UserError(f"{name} must be a whole number known before compilation, "
                        f"not {value!r}") from None
    if isinstance(value, (bool, np.bool_)) or number < least:
        raise UserError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return number


def require_positive(
    value: Any, name: str, *, least: float = 0.0, most: float | None = _FLOAT32_MAX,
) -> None:
    """Checks that a number is finite, positive, not below `least` and not above `most`.

    Args:
        value: a number or an array; traced values pass.
        name: what the number is called in the message.
        least: the smallest value allowed; 0 allows every positive number.
        most: the largest value allowed: what float32 holds, or None where the value is used in
            float64.

    Raises:
        UserError: if any entry is NaN, infinite, not positive, or outside the bounds.
    """
    entries = _known(value, name)
    if entries is None or np.all(np.isfinite(entries) & (entries > 0) & (entries >= least)
                                 & (entries <= (np.inf if most is None else most))):
        return
    bound = f"of at least {least:g}" if least > 0 else "above 0"
    if most is not None and np.any(np.isfinite(entries) & (entries > most)):
        bound += f" and at most {most:.3g}"
    raise UserError(f"{name} is {_show(value)}; it must be a finite number {bound}")


def require_inside(value: Any, name: str, low: float, high: float) -> None:
    """Checks that a number lies strictly between two bounds.

    Args:
        value: a number or an array; traced values pass.
        name: what the number is called in the message.
        low: the lower bound, itself excluded.
        high: the upper bound, itself excluded.

    Raises:
        UserError: if any entry is NaN, at a bound, or beyond it.
    """
    entries = _known(value, name)
    if entries is None or np.all((entries > low) & (entries < high)):
        return
    raise UserError(f"{name} is {_show(value)}; it must lie strictly between {low:g} and {high:g}")


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


def require_values(x: Any, name: str, *, least: int) -> np.ndarray:
    """Returns a row of finite values [N] in float64.

    Raises:
        UserError: if it is no row, has NaN or infinite values, or fewer than `least`.
    """
    entries = _known(x, name)
    if entries is None or entries.ndim != 1:
        raise UserError(f"{name} must be one row of known numbers, [N]; it has the shape "
                        f"{np.shape(x)}")
    if n_bad := np.sum(~np.isfinite(entries)):
        raise UserError(f"{name} has {n_bad} NaN or infinite values among {len(entries)}; leave "
                        "them out")
    if len(entries) < least:
        raise UserError(f"{name} has {len(entries)} values; at least {least} are needed")
    return entries


def log_of(value: Any) -> jax.Array:
    """Natural logarithm in the default float type; of known values in float64 first.

    float32 cannot hold 1e300, and int32 not 10¹².
    """
    if isinstance(value, jax.core.Tracer):
        return jnp.log(value)
    return jnp.asarray(np.log(np.asarray(value, np.float64)), jnp.result_type(float))


def log_complement(value: Any) -> jax.Array:
    """Logarithm of 1 − value, likewise: 1 − 1e-12 is not 1."""
    if isinstance(value, jax.core.Tracer):
        return jnp.log1p(-value)
    return jnp.asarray(np.log1p(-np.asarray(value, np.float64)), jnp.result_type(float))


def _known(value: Any, name: str) -> np.ndarray | None:
    """The entries of `value` [...] in double precision, or None where they are traced."""
    if isinstance(value, jax.core.Tracer):
        return None
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name} is {_show(value)}; it must be a number") from None


def _show(value: Any) -> str:
    """A value as it stands in a message: short, and on one line."""
    text = str(value) if np.ndim(value) == 0 else np.array2string(np.asarray(value), threshold=4)
    return " ".join(text.split())
