"""Checks of arguments that several rooms make; each raises a one-line `UserError`."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.errors import UserError


def check_memory(n_bytes: int, what: str, remedy: str) -> None:
    """Raises a `UserError` where the machine has less memory than `n_bytes`.

    Such a request is refused before it is tried: XLA would abort the whole process.

    Args:
        n_bytes: what is needed.
        what: begins the message, up to "need" or "needs".
        remedy: ends it.
    """
    there_is = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > there_is:
        asked = f"{n_bytes / 2**30:,.0f} GiB" if n_bytes < 2**80 else "more than 2^80 bytes"
        raise UserError(f"{what} {asked}, and this machine has {there_is / 2**30:.0f} GiB; "
                        f"{remedy}")


def random_key(key: Any) -> jax.Array:
    """A key of `jax.random.key`, or of the older `jax.random.PRNGKey`; it may be traced."""
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape:
            raise UserError(f"key is an array of keys, of shape {key.shape}; give one of them")
        return key
    if getattr(key, "dtype", None) == np.uint32 and np.shape(key) == (2,):
        return key
    raise UserError(f"key is {shown(key)}; give one random key, e.g. jax.random.key(0)")


def whole_array(values: Any, name: str) -> np.ndarray:
    """Values as an array of one shape, none of them missing or masked.

    An array of Python objects becomes one of float64 if all of them are real numbers.
    """
    if np.ma.is_masked(values):
        raise UserError(f"{name} is a masked array with {np.ma.count_masked(values)} missing "
                        "values; leave such rows out, or fill them in")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):
        raise UserError(f"{name} is no array: its rows differ in length, or it holds what is no "
                        "number; give rows of one length") from None
    if array.dtype != object:
        return array
    for place, value in np.ndenumerate(array):
        is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
        if value is None or is_nan or type(value).__name__ in ("NAType", "NaTType"):
            where = ", ".join(f"{axis} {index}" for axis, index in zip(
                ("row", "column", *("place",) * array.ndim), place, strict=False))
            raise UserError(f"{name} has no value{where and f' in {where} (from 0)'}: it is "
                            f"{value}; leave such rows out, or fill them in")
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool)
           for value in array.flat):
        try:
            return array.astype(np.float64)
        except OverflowError:
            raise UserError(f"{name} is {shown(values)}, more than float64 holds") from None
    return array


def shown(value: Any) -> str:
    """A value as it stands in a message: short, and on one line."""
    try:
        text = str(value) if np.ndim(value) == 0 else np.array2string(
            np.asarray(value), threshold=4)
    except (TypeError, ValueError):  # ragged, or what JAX traces
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}…"
