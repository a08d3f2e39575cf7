"""The contract's laws (`flowaa.bijectors.contract`) on the cases of the table."""

from typing import Any

import jax
import jax.numpy as jnp

from flowaa.bijectors import contract, subject
from flowaa.bijectors.subject import random_params
from tests.bijectors.cases import CONDITIONS, Case

__all__ = ["CHECKS", "FAST_COMPILATION", "make_subject", "random_params"]

CHECKS = contract.LAWS


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


def make_subject(case: Case, dtype: str) -> subject.Subject:
    """The case's bijector, random normal parameters and inputs."""
    return subject.make_subject(
        case.make(), case.shape, dtype, condition_width=CONDITIONS[case.condition],
        dropout=case.dropout, memories=case.memories, compiler_options=FAST_COMPILATION)
