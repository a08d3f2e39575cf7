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
    """What takes long to compile and runs the code of a case that is not slow."""
    # Conditions and sides are the subnets' and the split's affair, whatever the law.
    is_law_s = name.startswith(("additive", "volume_preserving", "spline"))
    if is_law_s and "-label" in name:
        return True
    if name.startswith(("nested_chain", "multi_scale")):  # with a label they do the same and more
        return dtype == "float32" or "-none" in name
    # A spline has the most operations: in float32 one split of it is enough.
    return dtype == "float32" and name.startswith("spline") and "halves-vector" not in name


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
