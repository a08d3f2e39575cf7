"""Norming constants, return levels and the fit to block maxima, against SciPy and simulation."""

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


def test_likelihood_fit_agrees_with_scipy_at_any_location_and_scale():
    sample = stats.gumbel_r.rvs(size=500, random_state=1)
    for location, scale in ((0, 1), (1000, 0.1), (-3, 1e6)):
        fit = extremes.fit_gumbel(location + scale * sample)
        exact_location, exact_scale = stats.gumbel_r.fit(location + scale * sample)
        assert fit.location == pytest.approx(exact_location, abs=2e-5 * scale)
        assert fit.scale == pytest.approx(exact_scale, rel=2e-5)
    skewed = np.append(np.zeros(200), 1.0) + 1e-3 * sample[:201]  # far from any Gumbel sample
    exact_scale = stats.gumbel_r.fit(skewed)[1]
    assert extremes.fit_gumbel(skewed).scale == pytest.approx(exact_scale, rel=1e-3)


@pytest.mark.parametrize("method", ["ml", "moments"])
def test_confidence_intervals_cover_as_they_say(method):
    rng = np.random.default_rng(0)
    true = stats.gumbel_r(5, 2)
    level = true.isf(1 / 1000)
    covered, estimates, covariance = np.zeros(3), [], np.zeros((2, 2))
    n_repeats = 400
    for _ in range(n_repeats):
        fit = extremes.fit_gumbel(true.rvs(200, random_state=rng), method=method)
        intervals = fit.location_interval(0.9), fit.scale_interval(0.9), fit.return_level(1000, 0.9)
        covered += [i.low <= x <= i.high for i, x in zip(intervals, (5, 2, level), strict=True)]
        estimates.append((fit.location, fit.scale))
        covariance += fit.covariance / n_repeats
    # Four standard errors of a share of 0.9, and a little for asymptotics at 200 maxima.
    assert np.all(np.abs(covered / n_repeats - 0.9) <= 4 * 0.3 / np.sqrt(n_repeats) + 0.01)
    np.testing.assert_allclose(np.cov(np.transpose(estimates)), covariance, rtol=0.3,
                               atol=0.2 * covariance[1, 1])


def test_fit_to_the_maxima_it_describes():
    """Radii of 50 dimensions: the fit finds the norming constants but for the slow convergence."""
    radii = np.sqrt(np.random.default_rng(0).chisquare(50, 2_000_000))
    fit = extremes.fit_gumbel(extremes.block_maxima(radii.astype(np.float32), 1000))
    law = extremes.gumbel_of_radius(50, 1000)
    assert fit.n_blocks == 2000
    assert fit.location == pytest.approx(float(law.loc), abs=0.02)
    assert fit.scale == pytest.approx(float(law.scale), rel=0.12)
    assert float(fit.law.mean()) == pytest.approx(float(law.mean()), abs=0.03)


@pytest.mark.parametrize("n", [0, -1, 1, 0.5, np.inf, np.nan, "many"])
def test_wrong_number_of_draws(n):
    for call in (lambda: extremes.gumbel_of_normal(n), lambda: extremes.gumbel_of_radius(3, n)):
        with pytest.raises(UserError, match="n, the number of draws") as error:
            call()
        assert "\n" not in str(error.value)


def test_wrong_fits():
    for maxima in ([], [1.0], [2.0, 2.0], [1.0, np.nan], [[1.0, 2.0]]):
        with pytest.raises(UserError, match="at least two different"):
            extremes.fit_gumbel(np.asarray(maxima))
    with pytest.raises(UserError, match="'guess'"):
        extremes.fit_gumbel(np.arange(9.0), method="guess")
    with pytest.raises(UserError, match="confidence"):
        extremes.fit_gumbel(np.arange(9.0)).return_level(100, confidence=95)
    for period in (1, 0, np.nan, np.inf):
        with pytest.raises(UserError, match="return period"):
            extremes.fit_gumbel(np.arange(9.0)).return_level(period)


def test_constants_are_traceable():
    law = jax.jit(lambda n: extremes.gumbel_of_radius(10, n))(np.float32([10, 1e6]))
    apart = [extremes.gumbel_of_radius(10, n) for n in (10, 1e6)]
    np.testing.assert_allclose(law.loc, [float(x.loc) for x in apart], rtol=1e-6)
