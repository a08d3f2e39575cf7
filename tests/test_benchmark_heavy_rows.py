"""The benchmark's own measure: the level that one row in a million of a density exceeds."""

import numpy as np
import pytest
from scipy import stats

from experiments.benchmarks._heavy_rows import RARE, HeavyRows, Stretched

N = 20_000  # of the rows drawn: standard errors of 0.02 in the common logarithm


@pytest.mark.parametrize("degrees", [1.5, 3.0, np.inf])
def test_level_of_an_elliptical_law_is_that_of_its_radius(degrees):
    law = HeavyRows((degrees,) * 4, "elliptical")
    squared = (stats.chi2(4).isf(RARE) if np.isinf(degrees)
               else 4 * stats.f(4, degrees).isf(RARE))
    found = Stretched.of(law, n=N).level(law.log_prob)
    assert np.log10(found / np.sqrt(squared)) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("kind", ["rotated", "copula"])
def test_level_of_joined_coordinates_is_that_of_drawn_rows(kind):
    # In two dimensions of 1.5 degrees the level is so far out that one coordinate alone has it:
    # P(|x| > r) is that of two coordinates, up to a thousandth.
    law = HeavyRows((1.5, 1.5), kind)
    alone = stats.t(1.5).isf(RARE / 4)
    found = np.log10(Stretched.of(law, n=4 * N).level(law.log_prob) / alone)
    assert found == pytest.approx(0, abs=0.05 if kind == "rotated" else 0.08)


def test_levels_of_positive_coordinates_and_of_clusters_are_those_far_out():
    """Coordinates alone have the level of Lomax's law; clusters are as far as one between them."""
    law = HeavyRows((2.0, 2.0), "lomax")
    found = Stretched.of(law, n=4 * N).level(law.log_prob)
    assert np.log10(found / stats.lomax(2).isf(RARE / 2)) == pytest.approx(0, abs=0.03)
    law = HeavyRows((2.0, 2.0), "clusters")
    found = Stretched.of(law, n=4 * N).level(law.log_prob)
    assert np.log10(found / np.sqrt(2 * stats.f(2, 2).isf(RARE))) == pytest.approx(0, abs=0.03)


def test_level_of_another_density():
    law = HeavyRows((2.0, 2.0), "rotated")
    other = stats.multivariate_t(np.zeros(2), np.eye(2), 2.5)
    true = np.sqrt(2 * stats.f(2, 2.5).isf(RARE))
    found = Stretched.of(law, n=4 * N).level(other.logpdf)
    assert np.log10(found / true) == pytest.approx(0, abs=0.05)


def test_a_density_that_is_not_a_number_somewhere_has_no_level():
    stretched = Stretched.of(HeavyRows((2.0, 2.0), "rotated"), n=500)
    assert np.isnan(stretched.level(lambda x: np.full(len(x), np.nan)))
    assert np.isnan(stretched.level(lambda x: np.full(len(x), -np.inf)))


def test_a_density_far_out_along_other_directions_needs_rows_along_them():
    """The same sources, turned by a fiftieth: their rays miss those of the stretched rows."""
    law = HeavyRows((1.5,) * 5 + (np.inf,) * 5, "rotated")
    turn = np.eye(10)
    turn[0, 9], turn[9, 0], turn[0, 0], turn[9, 9] = 0.02, -0.02, 0.9998, 0.9998
    turned = HeavyRows(law.degrees, "rotated", mixing=turn @ law._matrix)
    of_one = Stretched.of(law, n=N)
    true = of_one.level(law.log_prob)
    assert np.isfinite(true)
    found = of_one.level(turned.log_prob)
    assert np.isnan(found) or np.log10(found / true) > -0.1
    found = Stretched.of(law, turned, n=N).level(turned.log_prob)
    assert np.log10(found / true) == pytest.approx(0, abs=0.05)


def test_a_mixing_is_a_change_of_variables():
    matrix = np.array([[2.0, 1.0], [0.0, 0.5]])
    law = HeavyRows((np.inf, np.inf), "rotated", mixing=matrix)
    x = np.random.default_rng(0).normal(size=(50, 2))
    exact = stats.multivariate_normal(np.zeros(2), matrix.T @ matrix).logpdf(x)
    np.testing.assert_allclose(law.log_prob(x), exact, rtol=1e-10)
    drawn = law.draw(np.random.default_rng(1), 100_000)
    np.testing.assert_allclose(np.cov(drawn.T), matrix.T @ matrix, atol=0.05)


@pytest.mark.parametrize("kind", ["rotated", "copula", "lomax", "clusters"])
def test_densities_are_those_of_the_rows(kind):
    """The density integrates to one: over a square in which most of the rows are."""
    law = HeavyRows((2.0, 2.0), kind)
    rng = np.random.default_rng(0)
    lowest = 0 if kind == "lomax" else -6  # the first is positive, with a peak at its corner
    at = rng.uniform(lowest, 6, (1_000_000, 2))
    inside = float(np.exp(law.log_prob(at)).mean() * (6 - lowest) ** 2)
    drawn = np.mean(np.abs(law.draw(rng, 200_000)).max(1) < 6)
    assert inside == pytest.approx(drawn, abs=0.01)
