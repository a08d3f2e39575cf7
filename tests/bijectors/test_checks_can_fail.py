"""A check that cannot fail is none: bijectors that break one law each, and fail its check."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from flowaa import bijectors
from flowaa.bijectors.base import Array, Bijector, Params, sum_per_example
from tests.bijectors.cases import Case
from tests.bijectors.checks import CHECKS, make_subject


class Sound(Bijector):
    """z = exp(s) x + c(cond) in each of three features."""

    @nn.compact
    def log_scale(self) -> Array:
        return self.param("log_scale", nn.initializers.zeros, (3,))

    def affine(self, x: Array) -> tuple[Array, Array]:
        log_scale = jnp.broadcast_to(self.log_scale(), x.shape)
        return log_scale, sum_per_example(log_scale)

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        log_scale, log_det = self.affine(x)
        return x * jnp.exp(log_scale) + cond, log_det

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        log_scale, log_det = self.affine(z)
        return (z - cond) * jnp.exp(-log_scale), -log_det


class NoInverse(Sound):
    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        x, log_det = super().decode(z, cond)
        return x + 1e-2, log_det


class SameSign(Sound):
    """decode gives the log_det of encode."""

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        x, log_det = super().decode(z, cond)
        return x, -log_det


class WrongSign(Sound):
    """Both signs are wrong, so that they cancel."""

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        z, log_det = super().encode(x, cond)
        return z, -log_det

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        x, log_det = super().decode(z, cond)
        return x, -log_det


class OtherWhenTraced(Sound):
    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        z, log_det = super().encode(x, cond)
        return (z, log_det) if isinstance(x, jax.core.Tracer) else (z + 1e-2, log_det)


class CentresTheBatch(Sound):
    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        return super().encode(x - x.mean(axis=0, keepdims=True), cond)


class Unclamped(Sound):
    """exp(exp(|x|)) of 10 sigma overflows."""

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        z, log_det = super().encode(x, cond)
        return z * jnp.exp(jnp.exp(x**2)), log_det


class InfiniteGradient(Sound):
    """Finite values whose gradient is not: the root of a number that is zero far out."""

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        z, log_det = super().encode(x, cond)
        return z + jnp.sqrt(jnp.maximum(5.0 - jnp.abs(x), 0.0)), log_det


class PullsBackWrongly(Sound):
    """Its reversible gradient leaves out one of what a gradient is taken of."""

    forgets: int  # 1: the input, 2: the parameters, 3: the condition

    def pull_back(self, params: Params, z: Array, cond: Array | None,
                  cotangents: tuple[Array, Array], dropout_key: Array | None) -> Any:
        result = list(super().pull_back(params, z, cond, cotangents, dropout_key))
        result[self.forgets] = jax.tree.map(jnp.zeros_like, result[self.forgets])
        return tuple(result)


BROKEN = {
    "no_inverse": (NoInverse, "round_trip"),
    "same_sign": (SameSign, "log_dets_cancel"),
    "wrong_sign": (WrongSign, "log_det"),
    "other_when_traced": (OtherWhenTraced, "jit"),
    "centres_the_batch": (CentresTheBatch, "neighbours"),
    "unclamped": (Unclamped, "finite_far_out"),
    "infinite_gradient": (InfiniteGradient, "finite_far_out"),
    "forgets_input": (lambda: PullsBackWrongly(1), "memory_modes"),
    "forgets_parameters": (lambda: PullsBackWrongly(2), "memory_modes"),
    "forgets_condition": (lambda: PullsBackWrongly(3), "memory_modes"),
}


@pytest.mark.parametrize("check", CHECKS)
def test_sound_bijector_passes(check: str) -> None:
    CHECKS[check](make_subject(Case(Sound, (3,), "label"), "float32"))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bijector_fails(name: str) -> None:
    make, check = BROKEN[name]
    subject = make_subject(Case(make, (3,), "label"), "float32")
    with pytest.raises(bijectors.BrokenLawError):
        CHECKS[check](subject)


def test_a_bijector_of_ones_own_is_told_which_laws_it_breaks() -> None:
    bijectors.check(Sound(), (3,), condition_width=3)
    with pytest.raises(bijectors.BrokenLawError) as caught:
        bijectors.check(SameSign(), (3,), condition_width=3)
    message = str(caught.value)
    assert message.startswith("SameSign breaks log_dets_cancel in float64 (")
    assert "log_dets_cancel in float32" in message
    assert "round_trip" not in message


def test_a_nan_is_no_round_trip() -> None:
    class GivesNaN(Sound):
        def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
            x, log_det = super().decode(z, cond)
            return x * jnp.nan, log_det

    with pytest.raises(bijectors.BrokenLawError):
        CHECKS["round_trip"](make_subject(Case(GivesNaN, (3,), "label"), "float32"))


def test_all_checks_are_seen_to_fail() -> None:
    assert {check for _, check in BROKEN.values()} == set(CHECKS)


class OnlyEncodes(bijectors.Bijector):
    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        return x, jnp.zeros(len(x), x.dtype)


class Gives(OnlyEncodes):
    """Both directions are the identity, but for what `change` makes of the pair."""

    change: Any

    def encode(self, x: Array, cond: Array | None = None) -> Any:
        return self.change(x, jnp.zeros(len(x), x.dtype))

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        return z, jnp.zeros(len(z), z.dtype)


class FailsInDecode(Gives):
    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        return z @ jnp.ones((7, 7)), jnp.zeros(len(z))


def raises(error: Exception) -> Any:
    raise error


NO_BIJECTORS = {
    "a class": (lambda: bijectors.ActNorm, "the class ActNorm; give an instance"),
    "a number": (lambda: 3, "bijector is 3; give an instance"),
    "none": (lambda: None, "bijector is None"),
    "a function": (lambda: jnp.sin, "give an instance"),
    "no decode": (OnlyEncodes, "OnlyEncodes.decode is not there"),
    "no encode": (bijectors.Bijector, "Bijector.encode is not there"),
    "no pair": (lambda: Gives(lambda z, log_det: z), "Gives.encode gives no pair"),
    "three": (lambda: Gives(lambda z, log_det: (z, log_det, z)), "gives no pair"),
    "a None": (lambda: Gives(lambda z, log_det: (z, None)), "gives no pair"),
    "log_det a number": (lambda: Gives(lambda z, d: (z, d.sum())), r"log_det has shape \(\)"),
    "log_det a column": (lambda: Gives(lambda z, d: (z, d[:, None])), r"has shape \(3, 1\)"),
    "log_det a feature": (lambda: Gives(lambda z, d: (z, 0 * z)), r"log_det has shape \(3, 3\)"),
    "fewer features": (lambda: Gives(lambda z, d: (z[:, :2], d)), r"makes the shape \(3, 2\)"),
    "fewer examples": (lambda: Gives(lambda z, d: (z[:1], d)), "the examples"),
    "no axes": (lambda: Gives(lambda z, d: (z.sum(), d)), r"makes the shape \(\)"),
    "other precision": (
        lambda: Gives(lambda z, d: (z.astype(jnp.float16), d)), "gives float16"),
    "another shape back": (
        lambda: Gives(lambda z, d: (z[:, None], d)), r"decode gives the shape \(3, 1, 3\)"),
    "encode fails": (lambda: Gives(lambda z, d: raises(KeyError("\nx"))), "encode raises KeyError"),
    "decode fails": (
        lambda: FailsInDecode(lambda z, d: (z, d)), "FailsInDecode.decode raises TypeError"),
}


@pytest.mark.parametrize("name", sorted(NO_BIJECTORS))
def test_what_is_no_bijector_is_told_in_one_line(name: str) -> None:
    make, said = NO_BIJECTORS[name]
    with pytest.raises(ValueError, match=said) as caught:
        bijectors.check(make(), (3,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given", "said"), [
    ({"shape": 3}, "shape is 3"), ({"shape": (2, 2)}, "shape is"), ({"shape": (0,)}, "shape is"),
    ({"shape": None}, "shape is None"), ({"shape": (2.0,)}, "shape is"),
    ({"condition_width": -1}, "condition_width is -1"), ({"condition_width": None}, "is None"),
])
def test_arguments_of_the_check(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        bijectors.check(bijectors.ActNorm(), **{"shape": (3,), **given})
    assert "\n" not in str(caught.value)
