"""Every bijector obeys the contract, in both precisions."""

import functools
from collections.abc import Iterator

import jax
import pytest

from tests.bijectors.cases import CASES
from tests.bijectors.checks import CHECKS, make_subject

# The checks of one bijector follow one another, so that it is compiled once.
subject_of = functools.lru_cache(maxsize=1)(make_subject)


def is_slow(name: str, dtype: str) -> bool:
    """Programs that take long to compile: in float32 they run the code of float64 again."""
    is_chain = name.startswith(("nested_chain", "multi_scale"))
    # Conditions are the subnets' affair, whatever the law: of one law they are tried in both.
    is_conditional = not name.startswith("affine") and "-label" in name
    return dtype == "float32" and (is_chain or is_conditional)


SUBJECTS = [
    pytest.param(name, dtype, id=f"{dtype}-{name}",
                 marks=pytest.mark.slow if is_slow(name, dtype) else ())
    for dtype in ("float64", "float32") for name in CASES
]


@pytest.fixture
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("name", "dtype"), SUBJECTS, indirect=["dtype"])
def test_bijector_obeys(name: str, dtype: str, check: str) -> None:
    if check == "jit" and dtype == "float64":
        pytest.skip("eager runs the same code in either precision, and compiles it op by op")
    CHECKS[check](subject_of(CASES[name], dtype))
