"""Norming constants of a maximum, against SciPy and the exact law."""

import jax
import numpy as np
import pytest
from scipy import special, stats

from flowaa import extremes
from flowaa.errors import UserError


@pytest.mark.parametrize("n", [2, 10, 1e4, 1e12])
def test_norming_constants_are_the_quantile_form(n):
    for law, parent in ((extremes.gumbel_of_normal(n), stats.norm()),
                        (extremes.gumbel_of_radius(1, n), stats.chi(1)),
                        (extremes.gumbel_of_radius(3072, n), stats.chi(3072))):
        location = parent.isf(1 / n)
        assert float(law.loc) == pytest.approx(location, rel=1e-6, abs=1e-6)
        assert float(law.scale) == pytest.approx(1 / (n * parent.pdf(location)), rel=2e-5)


def test_radius_of_one_dimension_is_a_normal_with_two_tails():
    radius, normal = extremes.gumbel_of_radius(1, 1e5), extremes.gumbel_of_normal(2e5)
    assert float(radius.loc) == pytest.approx(float(normal.loc), rel=1e-6)
    assert float(radius.scale) == pytest.approx(float(normal.scale), rel=1e-5)


@pytest.mark.parametrize(("d", "n", "largest"), [(3072, 1e4, 0.02), (3072, 1e8, 0.011)])
def test_exact_law_of_the_maximum_approaches_gumbel(d, n, largest):
    law = extremes.gumbel_of_radius(d, n)
    x = np.linspace(float(law.loc) - 5 * float(law.scale), float(law.loc) + 15 * float(law.scale),
                    2001)
    exact = np.exp(n * np.log1p(-special.gammaincc(d / 2, x**2 / 2)))
    distance = np.abs(exact - np.exp(np.asarray(law.log_cdf(np.float32(x))))).max()
    assert distance <= largest
    # It is a limit, not an identity; a wrong scale would be three times as far off.
    assert distance >= largest / 3


def test_block_maxima():
    values = np.float32([1, 5, 2, 7, 0, 3, 9])
    np.testing.assert_array_equal(extremes.block_maxima(values, 3), [5, 7])
    with pytest.raises(UserError, match="only 7 values"):
        extremes.block_maxima(values, 8)


@pytest.mark.parametrize("n", [0, -1, 1, 0.5, np.inf, np.nan, "many"])
def test_wrong_number_of_draws(n):
    for call in (lambda: extremes.gumbel_of_normal(n), lambda: extremes.gumbel_of_radius(3, n)):
        with pytest.raises(UserError, match="n, the number of draws") as error:
            call()
        assert "\n" not in str(error.value)


def test_constants_are_traceable():
    law = jax.jit(lambda n: extremes.gumbel_of_radius(10, n))(np.float32([10, 1e6]))
    apart = [extremes.gumbel_of_radius(10, n) for n in (10, 1e6)]
    np.testing.assert_allclose(law.loc, [float(x.loc) for x in apart], rtol=1e-6)
