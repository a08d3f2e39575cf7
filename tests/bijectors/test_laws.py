"""Every bijector obeys the contract, in both precisions."""

import functools
from collections.abc import Iterator

import jax
import pytest

from tests.bijectors.cases import CASES
from tests.bijectors.checks import CHECKS, make_subject

# The checks of one bijector follow one another, so that it is compiled once.
subject_of = functools.lru_cache(maxsize=1)(make_subject)


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", CASES)
def test_bijector_obeys(name: str, dtype: str, check: str) -> None:
    if check == "jit" and dtype == "float64":
        pytest.skip("eager runs the same code in either precision, and compiles it op by op")
    CHECKS[check](subject_of(CASES[name], dtype))
