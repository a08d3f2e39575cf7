"""The laws of the contract in `base`, each as a check that can fail; `check` runs all of them."""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Array, Bijector, Params, bound
from flowaa.bijectors.chain import Chain, Memory
from flowaa.errors import UserError

_BATCH = 3


class BrokenLawError(UserError):
    """A bijector breaks a law of the contract."""


def check(bijector: Bijector, shape: tuple[int, ...], *, condition_width: int = 0) -> None:
    """Runs all laws on a bijector with random parameters, in float64 and in float32.

    Args:
        bijector: one of one's own. It computes in the precision of its input.
        shape: of one example: (H, W, C) or (D,).
        condition_width: E of its condition [B, E]; 0 = it has none.

    Raises:
        BrokenLawError: names each law that is broken, and by how much.

    >>> from flowaa import bijectors
    >>> bijectors.check(bijectors.Orthogonal(seed=1), (3,))
    """
    broken = []
    for dtype in BOUNDS:
        with jax.enable_x64(dtype == "float64"):
            subject = make_subject(bijector, shape, dtype, condition_width=condition_width)
            for name, law in LAWS.items():
                try:
                    law(subject)
                except BrokenLawError as error:
                    broken.append(f"{name} in {dtype} ({error})")
    if broken:
        raise BrokenLawError(f"{type(bijector).__name__} breaks {'; '.join(broken)}")


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Largest errors allowed, relative to 1 + the largest value compared."""

    round_trip: float
    log_det: float
    same: float  # between two orders of the same sums
    gradient: float


BOUNDS = {
    "float64": Bounds(round_trip=1e-10, log_det=1e-8, same=1e-13, gradient=1e-9),
    "float32": Bounds(round_trip=1e-4, log_det=1e-4, same=1e-5, gradient=1e-4),
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A bijector with parameters none of which is zero, and inputs for it."""

    bijector: Bijector
    params: Params
    x: Array  # [B, *shape]
    z: Array  # [B, ...] random, in the shape of the output
    cond: Array | None  # [B, E]
    bounds: Bounds
    dropout_key: Array | None  # of gradients
    memories: tuple[Memory, ...]
    compiler_options: Mapping[str, Any]

    def encode_and_decode(self, x: Any, z: Any, cond: Any) -> Any:
        """(z, log_det) of x, and (x, log_det) of z."""
        bijector = bound(self.bijector, self.params)
        return bijector.encode(x, cond), bijector.decode(z, cond)

    def encode_and_vjp(self, memory: Memory, x: Any, cotangents: Any) -> Any:
        """(z, log_det) of x, and the cotangents of parameters, x and condition."""
        chain = Chain((self.bijector,), memory)

        def encode(params: Params, x: Any, cond: Any) -> Any:
            params = {"blocks_0": params} if params else {}  # the name that linen gives
            return bound(chain, params, dropout_key=self.dropout_key).encode(x, cond)

        outputs, vjp = jax.vjp(encode, self.params, x, self.cond)
        return outputs, vjp(cotangents)

    @functools.cached_property
    def compiled(self) -> Any:
        """`encode_and_decode`."""
        return jax.jit(self.encode_and_decode, compiler_options=dict(self.compiler_options))

    @functools.cached_property
    def compiled_vjp(self) -> Any:
        """`encode_and_vjp` of every memory mode."""
        return jax.jit(
            lambda x, cotangents: {memory: self.encode_and_vjp(memory, x, cotangents)
                                   for memory in self.memories},
            compiler_options=dict(self.compiler_options),
        )

    @functools.cached_property
    def outputs(self) -> Any:
        """`encode_and_decode` of x and z."""
        return self.compiled(self.x, self.z, self.cond)

    @functools.cached_property
    def round_trips(self) -> Any:
        """`encode_and_decode` of its own results."""
        (z, _), (x, _) = self.outputs
        return self.compiled(x, z, self.cond)


def make_subject(
    bijector: Bijector, shape: tuple[int, ...], dtype: str, *, condition_width: int = 0,
    dropout: bool = False, memories: tuple[Memory, ...] = ("stored", "reversible"),
    compiler_options: Mapping[str, Any] | None = None,
) -> Subject:
    """Random normal inputs and parameters; conditions are one-hot where they can be."""
    x = jnp.asarray(_normal((_BATCH, *shape), seed=0), dtype)
    cond = None
    if condition_width:
        cond = jnp.asarray(np.eye(condition_width)[np.arange(_BATCH) % condition_width], dtype)
    (z, _), variables = jax.eval_shape(bijector.init_with_output, jax.random.key(0), x, cond)
    return Subject(
        bijector, random_params(variables.get("params", {}), dtype), x,
        jnp.asarray(_normal(z.shape, seed=2), dtype), cond, BOUNDS[dtype],
        jax.random.key(1) if dropout else None, memories, compiler_options or {})


def random_params(shapes: Any, dtype: str) -> Params:
    """Parameters none of which is zero, the same in either precision.

    Kernels, those of output layers too, keep the variance of their input; vectors have a standard
    deviation of 0.3.
    """

    def draw(path: Any, leaf: Any) -> Array:
        seed = zlib.crc32(jax.tree_util.keystr(path).encode())
        scale = 0.3 if len(leaf.shape) == 1 else np.prod(leaf.shape[:-1]) ** -0.5
        return jnp.asarray(np.float32(scale * _normal(leaf.shape, seed)), dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


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
    for found in (log_det, back):
        _require(found.shape == (_BATCH,), f"log_det has shape {found.shape}, not [B]")
    bound = subject.bounds.log_det
    _require_near(back_back, -log_det, bound, "log_det of decode is not -log_det of encode")
    _require_near(log_det_back, -back, bound, "log_det of encode is not -log_det of decode")


def check_log_det(subject: Subject) -> None:
    """log_det is log|det| of autodiff's Jacobian."""
    zero = jnp.zeros(_BATCH, subject.x.dtype)
    n_dims = int(np.prod(subject.z.shape[1:]))
    rows = []
    for unit in np.eye(n_dims):
        cotangent = np.broadcast_to(unit, (_BATCH, n_dims)).reshape(subject.z.shape)
        found = subject.compiled_vjp(subject.x, (jnp.asarray(cotangent, zero.dtype), zero))
        (_, log_det), (_, row, _) = found["stored"]
        rows.append(np.asarray(row, np.float64).reshape(_BATCH, -1))
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
        alone = (np.arange(_BATCH) == 1).reshape(-1, *(1,) * (array.ndim - 1))
        return jnp.asarray(np.where(alone, array, np.nan))

    spoiled = subject.compiled(spoil(subject.x), spoil(subject.z), spoil(subject.cond))
    for a, b in zip(jax.tree.leaves(spoiled), jax.tree.leaves(subject.outputs), strict=True):
        _require_near(a[1], b[1], subject.bounds.same, "an example depends on its neighbours")


def check_finite_far_out(subject: Subject) -> None:
    """At ten standard deviations values and gradients are finite."""
    far, ones = 10.0 * subject.x, (subject.z, jnp.ones(_BATCH, subject.x.dtype))
    outputs = subject.compiled(far, 10.0 * subject.z, subject.cond)
    for leaf in jax.tree.leaves((outputs, subject.compiled_vjp(far, ones))):
        _require(bool(np.isfinite(leaf).all()), "not finite at 10 standard deviations")


def check_memory_modes(subject: Subject) -> None:
    """All memory modes give autodiff's gradients of parameters, input and condition."""
    cotangents = subject.z, jnp.asarray(_normal((_BATCH,), seed=3), subject.x.dtype)
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


def _normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)
