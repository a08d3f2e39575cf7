"""The laws of the contract in `base`, each as a check that can fail; `check` runs all of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.arguments import shown
from flowaa.bijectors.base import Array, Bijector
from flowaa.bijectors.subject import BATCH, BOUNDS, BrokenLawError, Subject, make_subject, normal
from flowaa.errors import UserError


def check(bijector: Bijector, shape: tuple[int, ...], *, condition_width: int = 0) -> None:
    """Runs all laws on a bijector with random parameters, in float64 and in float32.

    Args:
        bijector: one of one's own. It computes in the precision of its input.
        shape: of one example: (H, W, C) or (D,).
        condition_width: E of its condition [B, E]; 0 = it has none.

    Raises:
        BrokenLawError: names each law that is broken, and by how much, or the method that fails
            or gives arrays of the wrong shape.
        UserError: the bijector is no instance of `Bijector`, or another argument is wrong.

    >>> from flowaa import bijectors
    >>> bijectors.check(bijectors.Orthogonal(seed=1), (3,))
    """
    if not isinstance(bijector, Bijector):
        what = f"the class {bijector.__name__}" if isinstance(bijector, type) else shown(bijector)
        raise UserError(f"bijector is {what}; give an instance of a subclass of "
                        "flowaa.bijectors.Bijector, e.g. MyBlock()")
    is_shape = isinstance(shape, tuple) and len(shape) in (1, 3)
    if not is_shape or any(type(length) is not int or length < 1 for length in shape):
        raise UserError(f"shape is {shown(shape)}; give that of one example, (H, W, C) or (D,)")
    if type(condition_width) is not int or condition_width < 0:
        raise UserError(f"condition_width is {shown(condition_width)}; give a whole number, 0 for "
                        "no condition")
    broken = []
    for dtype in BOUNDS:
        with jax.enable_x64(dtype == "float64"):
            subject = make_subject(bijector, shape, dtype, condition_width=condition_width)
            for name, law in LAWS.items():
                try:
                    law(subject)
                except BrokenLawError as error:
                    broken.append(f"{name} in {dtype} ({error})")
                except Exception as error:  # the laws do nothing that a sound bijector refuses
                    said = str(error).strip().splitlines() or [""]
                    broken.append(f"{name} in {dtype} ({type(error).__name__}: {said[0][:200]})")
    if broken:
        raise BrokenLawError(f"{type(bijector).__name__} breaks {'; '.join(broken)}")


def check_round_trip(subject: Subject) -> None:
    """decode undoes encode and encode undoes decode."""
    (z, _), (x, _) = subject.round_trips
    bound = subject.bounds.round_trip
    _require_near(x, subject.x, bound, "decode(encode(x)) is not x")
    _require_near(z, subject.z, bound, "encode(decode(z)) is not z")


def check_log_dets_cancel(subject: Subject) -> None:
    """The log_det of decode is minus that of encode at the same point, and the other way round."""
    (_, log_det), (_, back) = subject.outputs
    (_, log_det_back), (_, back_back) = subject.round_trips
    bound = subject.bounds.log_det
    _require_near(back_back, -log_det, bound, "log_det of decode is not -log_det of encode")
    _require_near(log_det_back, -back, bound, "log_det of encode is not -log_det of decode")


def check_log_det(subject: Subject) -> None:
    """log_det is log|det| of autodiff's Jacobian."""
    zero = jnp.zeros(BATCH, subject.x.dtype)
    n_dims = int(np.prod(subject.z.shape[1:]))
    rows = []
    for unit in np.eye(n_dims):
        cotangent = np.broadcast_to(unit, (BATCH, n_dims)).reshape(subject.z.shape)
        found = subject.compiled_vjp(subject.x, (jnp.asarray(cotangent, zero.dtype), zero))
        (_, log_det), (_, row, _) = found["stored"]
        rows.append(np.asarray(row, np.float64).reshape(BATCH, -1))
    _, expected = np.linalg.slogdet(np.stack(rows, axis=1))
    _require_near(log_det, expected, subject.bounds.log_det, "log_det is not the Jacobian's")


def check_jit(subject: Subject) -> None:
    """Compiled, both directions give the same as eagerly."""
    eager = subject.encode_and_decode(subject.x, subject.z, subject.cond)
    for a, b in zip(jax.tree.leaves(subject.outputs), jax.tree.leaves(eager), strict=True):
        _require_near(a, b, subject.bounds.same, "jit differs from eager")


def check_neighbours(subject: Subject) -> None:
    """An example's result is the same beside others, even if those are NaN."""

    def spoil(array: Array | None) -> Array | None:
        if array is None:
            return None
        alone = (np.arange(BATCH) == 1).reshape(-1, *(1,) * (array.ndim - 1))
        return jnp.asarray(np.where(alone, array, np.nan))

    spoiled = subject.compiled(spoil(subject.x), spoil(subject.z), spoil(subject.cond))
    for a, b in zip(jax.tree.leaves(spoiled), jax.tree.leaves(subject.outputs), strict=True):
        _require_near(a[1], b[1], subject.bounds.same, "an example depends on its neighbours")


def check_finite_far_out(subject: Subject) -> None:
    """At ten standard deviations values and gradients are finite."""
    far, ones = 10.0 * subject.x, (subject.z, jnp.ones(BATCH, subject.x.dtype))
    outputs = subject.compiled(far, 10.0 * subject.z, subject.cond)
    for leaf in jax.tree.leaves((outputs, subject.compiled_vjp(far, ones))):
        _require(bool(np.isfinite(leaf).all()), "not finite at 10 standard deviations")


def check_memory_modes(subject: Subject) -> None:
    """All memory modes give autodiff's gradients of parameters, input and condition."""
    cotangents = subject.z, jnp.asarray(normal((BATCH,), seed=3), subject.x.dtype)
    found = subject.compiled_vjp(subject.x, cotangents)
    for memory in subject.memories[1:]:
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found[memory]),
                                jax.tree.leaves(found["stored"]), strict=True):
            name = jax.tree_util.keystr(path)
            _require_near(a, b, subject.bounds.gradient, f"{memory} differs from stored at {name}")


LAWS: dict[str, Callable[[Subject], None]] = {
    "round_trip": check_round_trip,
    "log_dets_cancel": check_log_dets_cancel,
    "log_det": check_log_det,
    "jit": check_jit,
    "neighbours": check_neighbours,
    "finite_far_out": check_finite_far_out,
    "memory_modes": check_memory_modes,
}


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BrokenLawError(message)


def _require_near(found: Any, expected: Any, limit: float, message: str) -> None:
    """The largest error, relative to 1 + the largest expected value, is at most `limit`."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    _require(found.shape == expected.shape, f"{message}: {found.shape} against {expected.shape}")
    error = np.abs(found - expected).max() / (1.0 + np.abs(expected).max())
    # A NaN is larger than any limit.
    _require(bool(error <= limit), f"{message}: off by {error:.1e}, more than {limit:.0e}")
