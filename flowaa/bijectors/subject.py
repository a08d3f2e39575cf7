"""What the laws of the contract are tried on: a bijector with random parameters and inputs."""

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

BATCH = 3


class BrokenLawError(UserError):
    """A bijector breaks a law of the contract."""


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
    x = jnp.asarray(normal((BATCH, *shape), seed=0), dtype)
    cond = None
    if condition_width:
        cond = jnp.asarray(np.eye(condition_width)[np.arange(BATCH) % condition_width], dtype)
    variables = _asked(bijector, "encode", lambda: jax.eval_shape(
        bijector.init, jax.random.key(0), x, cond))
    params = random_params(variables.get("params", {}), dtype)
    z = _output(bijector, params, "encode", x, cond)
    back = _output(bijector, params, "decode", z, cond)
    if back.shape != x.shape:
        raise BrokenLawError(f"{type(bijector).__name__}.decode gives the shape {back.shape} where "
                             f"encode was given {x.shape}; B is {BATCH} here")
    return Subject(
        bijector, params, x,
        jnp.asarray(normal(z.shape, seed=2), dtype), cond, BOUNDS[dtype],
        jax.random.key(1) if dropout else None, memories, compiler_options or {})


def _asked(bijector: Bijector, method: str, call: Callable[[], Any]) -> Any:
    """What a method gives; whatever it raises becomes one line that names it."""
    try:
        return call()
    except Exception as error:
        said = str(error).strip().splitlines() or [""]
        kind = "is not there" if isinstance(error, NotImplementedError) else (
            f"raises {type(error).__name__}: {said[0][:200]}")
        raise BrokenLawError(f"{type(bijector).__name__}.{method} {kind}") from error


def _output(
    bijector: Bijector, params: Params, method: str, given: Any, cond: Array | None
) -> jax.ShapeDtypeStruct:
    """The shape of what `method` makes of arrays, if it is a pair with a log_det [B]."""
    name = f"{type(bijector).__name__}.{method}"
    pair = _asked(bijector, method, lambda: jax.eval_shape(
        lambda given, cond: getattr(bound(bijector, params), method)(given, cond), given, cond))
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(
            isinstance(part, jax.ShapeDtypeStruct) for part in pair):
        raise BrokenLawError(f"{name} gives no pair of arrays, (values, log_det)")
    values, log_det = pair
    if values.shape[:1] != (BATCH,) or np.prod(values.shape) != np.prod(given.shape):
        raise BrokenLawError(f"{name} makes the shape {values.shape} of {given.shape}: the "
                             f"examples and their numbers of features must stay; B is {BATCH} here")
    if log_det.shape != (BATCH,):
        raise BrokenLawError(f"{name}: log_det has shape {log_det.shape}, not [B], one number for "
                             f"each example; B is {BATCH} here")
    if not values.dtype == log_det.dtype == given.dtype:
        raise BrokenLawError(f"{name} gives {values.dtype} and a log_det of {log_det.dtype} where "
                             f"it is given {given.dtype}; it must compute in that precision")
    return values


def random_params(shapes: Any, dtype: str) -> Params:
    """Parameters none of which is zero, the same in either precision.

    Kernels, those of output layers too, keep the variance of their input; vectors have a standard
    deviation of 0.3.
    """

    def draw(path: Any, leaf: Any) -> Array:
        seed = zlib.crc32(jax.tree_util.keystr(path).encode())
        scale = 0.3 if len(leaf.shape) == 1 else np.prod(leaf.shape[:-1]) ** -0.5
        return jnp.asarray(np.float32(scale * normal(leaf.shape, seed)), dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Standard normal numbers of this shape, always the same."""
    return np.random.default_rng(seed).normal(size=shape)
