"""The laws of the bijector contract (`flowaa.bijectors.base`), each as a check that can fail."""

import dataclasses
import functools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Bijector, bound
from flowaa.bijectors.chain import Chain
from tests.bijectors.cases import CONDITIONS, Case

BATCH = 3


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that this version of XLA has."""
    known = {}
    for name, value in options.items():
        try:
            jax.jit(lambda: jnp.zeros(()), compiler_options={name: value})()
        except Exception:  # XLA has no kind of its own for it
            continue
        known[name] = value
    return known


# What tests/conftest.py cannot ask of every version: hundreds of programs compile faster still.
FAST_COMPILATION = _known({"xla_cpu_use_fusion_emitters": False})


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Largest errors allowed, relative to 1 + the largest value compared."""

    round_trip: float
    log_det: float
    same: float  # of what is computed twice, in another order
    gradient: float


BOUNDS = {
    "float64": Bounds(round_trip=1e-10, log_det=1e-8, same=1e-13, gradient=1e-9),
    "float32": Bounds(round_trip=1e-4, log_det=1e-4, same=1e-5, gradient=1e-4),
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A bijector with parameters none of which is zero, and inputs for it."""

    case: Case
    bijector: Bijector
    params: Any
    x: jax.Array  # [B, *shape]
    z: jax.Array  # [B, ...], no one's output
    cond: jax.Array | None
    bounds: Bounds

    @property
    def key(self) -> jax.Array | None:
        return jax.random.key(1) if self.case.dropout else None

    def encode_and_decode(self, x: Any, z: Any, cond: Any) -> Any:
        """(z, log_det) of x, and (x, log_det) of z."""
        bijector = bound(self.bijector, self.params)
        return bijector.encode(x, cond), bijector.decode(z, cond)

    def encode_and_vjp(self, memory: str, x: Any, cotangents: Any) -> Any:
        """(z, log_det) of x, and the cotangents of parameters, x and condition."""
        chain = Chain((self.bijector,), memory)

        def encode(params: Any, x: Any, cond: Any) -> Any:
            return bound(chain, params, dropout_key=self.key).encode(x, cond)

        params = {"blocks_0": self.params} if self.params else {}
        outputs, vjp = jax.vjp(encode, params, x, self.cond)
        return outputs, vjp(cotangents)

    @functools.cached_property
    def compiled(self) -> Any:
        return jax.jit(self.encode_and_decode, compiler_options=FAST_COMPILATION)

    @functools.cached_property
    def compiled_vjp(self) -> Any:
        """`encode_and_vjp` of every memory mode."""
        return jax.jit(
            lambda x, cotangents: {memory: self.encode_and_vjp(memory, x, cotangents)
                                   for memory in self.case.memories},
            compiler_options=FAST_COMPILATION,
        )

    @functools.cached_property
    def outputs(self) -> Any:
        return self.compiled(self.x, self.z, self.cond)

    @functools.cached_property
    def round_trips(self) -> Any:
        """`encode_and_decode` of what it gave."""
        (z, _), (x, _) = self.outputs
        return self.compiled(x, z, self.cond)


def make_subject(case: Case, dtype: str) -> Subject:
    """Inputs and parameters are random normal."""
    bijector = case.make()
    x = jnp.asarray(normal((BATCH, *case.shape), seed=0), dtype)
    cond = None
    if case.condition == "label":
        cond = jnp.asarray(np.eye(CONDITIONS["label"][0])[np.arange(BATCH)], dtype)
    (z, _), variables = jax.eval_shape(bijector.init_with_output, jax.random.key(0), x, cond)
    params = random_params(variables.get("params", {}), dtype)
    z = jnp.asarray(normal(z.shape, seed=2), dtype)
    return Subject(case, bijector, params, x, z, cond, BOUNDS[dtype])


def random_params(shapes: Any, dtype: str) -> Any:
    """Parameters none of which is zero, the same in either precision.

    Kernels keep the variance of what they are given, those of output layers too; vectors have the
    deviation 0.3.
    """

    def draw(path: Any, leaf: Any) -> jax.Array:
        seed = zlib.crc32(jax.tree_util.keystr(path).encode())
        scale = 0.3 if len(leaf.shape) == 1 else np.prod(leaf.shape[:-1]) ** -0.5
        return jnp.asarray(np.float32(scale * normal(leaf.shape, seed)), dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def check_round_trip(subject: Subject) -> None:
    """decode undoes encode and encode undoes decode."""
    (z, _), (x, _) = subject.round_trips
    bound = subject.bounds.round_trip
    assert_near(x, subject.x, bound, "decode(encode(x)) is not x")
    assert_near(z, subject.z, bound, "encode(decode(z)) is not z")


def check_log_dets_cancel(subject: Subject) -> None:
    """The log_det of decode is minus that of encode at the same point, and the other way round."""
    (_, log_det), (_, back) = subject.outputs
    (_, log_det_back), (_, back_back) = subject.round_trips
    assert log_det.shape == back.shape == (BATCH,), f"log_det has shape {log_det.shape}"
    bound = subject.bounds.log_det
    assert_near(back_back, -log_det, bound, "log_det of decode is not -log_det of encode")
    assert_near(log_det_back, -back, bound, "log_det of encode is not -log_det of decode")


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
    assert_near(log_det, expected, subject.bounds.log_det, "log_det is not the Jacobian's")


def check_jit(subject: Subject) -> None:
    """Compiled, both directions give what they give eagerly."""
    eager = subject.encode_and_decode(subject.x, subject.z, subject.cond)
    for a, b in zip(jax.tree.leaves(subject.outputs), jax.tree.leaves(eager), strict=True):
        assert_near(a, b, subject.bounds.same, "jit differs from eager")


def check_neighbours(subject: Subject) -> None:
    """An example's result is the same beside others, even if those are NaN."""

    def spoil(array: jax.Array | None) -> jax.Array | None:
        if array is None:
            return None
        alone = (np.arange(BATCH) == 1).reshape(-1, *(1,) * (array.ndim - 1))
        return jnp.asarray(np.where(alone, array, np.nan))

    spoiled = subject.compiled(spoil(subject.x), spoil(subject.z), spoil(subject.cond))
    for a, b in zip(jax.tree.leaves(spoiled), jax.tree.leaves(subject.outputs), strict=True):
        assert_near(a[1], b[1], subject.bounds.same, "an example depends on its neighbours")


def check_finite_far_out(subject: Subject) -> None:
    """At ten standard deviations values and gradients are finite."""
    far, ones = 10.0 * subject.x, (subject.z, jnp.ones(BATCH, subject.x.dtype))
    outputs = subject.compiled(far, 10.0 * subject.z, subject.cond)
    for leaf in jax.tree.leaves((outputs, subject.compiled_vjp(far, ones))):
        assert np.isfinite(leaf).all(), "not finite at 10 sigma"


def check_memory_modes(subject: Subject) -> None:
    """All memory modes give autodiff's gradients of parameters, input and condition."""
    cotangents = subject.z, jnp.asarray(normal((BATCH,), seed=3), subject.x.dtype)
    found = subject.compiled_vjp(subject.x, cotangents)
    for memory in subject.case.memories[1:]:
        assert jax.tree.structure(found[memory]) == jax.tree.structure(found["stored"])
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found[memory]),
                                jax.tree.leaves(found["stored"]), strict=True):
            name = jax.tree_util.keystr(path)
            assert_near(a, b, subject.bounds.gradient, f"{memory} differs from stored at {name}")


def assert_near(found: Any, expected: Any, bound: float, message: str) -> None:
    """The largest error, relative to 1 + the largest expected value, is at most `bound`."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"{message}: {found.shape} against {expected.shape}"
    error = np.abs(found - expected).max() / (1.0 + np.abs(expected).max())
    assert error <= bound, f"{message}: off by {error:.1e}, more than {bound:.0e}"


def normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


CHECKS = {
    "round_trip": check_round_trip,
    "log_dets_cancel": check_log_dets_cancel,
    "log_det": check_log_det,
    "jit": check_jit,
    "neighbours": check_neighbours,
    "finite_far_out": check_finite_far_out,
    "memory_modes": check_memory_modes,
}
