"""The benchmark's own measure: the level that one row in a million of a density exceeds."""

import numpy as np
import pytest
from scipy import stats

from experiments.benchmarks._heavy_rows import RARE, HeavyRows

N = 20_000  # of the rows drawn: standard errors of 0.02 in the common logarithm


@pytest.mark.parametrize("degrees", [1.5, 3.0, np.inf])
def test_level_of_an_elliptical_law_is_that_of_its_radius(degrees):
    law = HeavyRows((degrees,) * 4, "elliptical")
    squared = (stats.chi2(4).isf(RARE) if np.isinf(degrees)
               else 4 * stats.f(4, degrees).isf(RARE))
    found = law.stretched(n=N).level(law.log_prob)
    assert np.log10(found / np.sqrt(squared)) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("kind", ["rotated", "copula"])
def test_level_of_joined_coordinates_is_that_of_drawn_rows(kind):
    # In two dimensions of 1.5 degrees the level is so far out that one coordinate alone has it:
    # P(|x| > r) is that of two coordinates, up to a thousandth.
    law = HeavyRows((1.5, 1.5), kind)
    alone = stats.t(1.5).isf(RARE / 4)
    found = np.log10(law.stretched(n=4 * N).level(law.log_prob) / alone)
    assert found == pytest.approx(0, abs=0.05 if kind == "rotated" else 0.08)


def test_level_of_another_density():
    law = HeavyRows((2.0, 2.0), "rotated")
    other = stats.multivariate_t(np.zeros(2), np.eye(2), 2.5)
    true = np.sqrt(2 * stats.f(2, 2.5).isf(RARE))
    assert np.log10(law.stretched(n=4 * N).level(other.logpdf) / true) == pytest.approx(0, abs=0.05)


def test_a_density_that_is_not_a_number_somewhere_has_no_level():
    stretched = HeavyRows((2.0, 2.0), "rotated").stretched(n=500)
    assert np.isnan(stretched.level(lambda x: np.full(len(x), np.nan)))
    assert np.isnan(stretched.level(lambda x: np.full(len(x), -np.inf)))


def test_a_density_far_out_along_other_directions_has_no_level():
    """The same sources, turned by a fiftieth: their rays miss those of the stretched rows."""
    law = HeavyRows((1.5,) * 5 + (np.inf,) * 5, "rotated")
    turn = np.eye(10)
    turn[0, 9], turn[9, 0], turn[0, 0], turn[9, 9] = 0.02, -0.02, 0.9998, 0.9998
    turned = law._rotation.T @ turn @ law._rotation
    stretched = law.stretched(n=N)
    assert np.isfinite(stretched.level(law.log_prob))
    found = stretched.level(lambda x: law.log_prob(x @ turned))
    assert np.isnan(found) or np.log10(found / stretched.level(law.log_prob)) > -0.1


@pytest.mark.parametrize("kind", ["rotated", "copula"])
def test_densities_are_those_of_the_rows(kind):
    """The density integrates to one: over a square in which most of the rows are."""
    law = HeavyRows((2.0, 2.0), kind)
    rng = np.random.default_rng(0)
    at = rng.uniform(-6, 6, (200_000, 2))
    inside = float(np.exp(law.log_prob(at)).mean() * 12**2)
    drawn = np.mean(np.abs(law.draw(rng, 200_000)).max(1) < 6)
    assert inside == pytest.approx(drawn, abs=0.01)
