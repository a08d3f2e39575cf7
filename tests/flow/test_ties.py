"""Atoms: values that many rows share, their probability, and what is spread."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.stats import norm

import flowaa
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.tables.marginal_fit import fit_marginals
from flowaa.flow.tables.ties import fit_ties

RNG = np.random.default_rng(0)
# Zero in six of ten rows, one in two, and a smooth law in the rest.
INFLATED = np.concatenate([np.zeros(1200), np.ones(400), RNG.gamma(4.0, 1.0, 400)])[:, None]


def _fit():
    ties = fit_ties(INFLATED)
    spread = ties.spread(INFLATED, np.random.default_rng(1))
    return ties, spread, fit_marginals(spread, ties, n_knots=12, n_normal=20)


def _probability(marginals, low: float, high: float) -> float:
    scores, _ = marginals.to_scores(np.array([[low], [high]]))
    return float(np.diff(norm.cdf(scores[:, 0]))[0])


def test_the_values_that_many_rows_share_are_found():
    ties = fit_ties(INFLATED)
    np.testing.assert_array_equal(ties.atoms[0], [0.0, 1.0])
    # However near the least of the other values is.
    np.testing.assert_array_equal(ties.half_widths[0], 0.02)
    assert not len(fit_ties(RNG.standard_normal((500, 1))).atoms[0])


def test_atoms_are_spread_within_their_interval_and_single_values_are_not():
    ties, spread, _ = _fit()
    offset = spread[:1200, 0]
    assert np.abs(offset).max() <= ties.half_widths[0][0]
    assert np.std(offset) == pytest.approx(ties.half_widths[0][0] / np.sqrt(3), rel=0.05)
    smooth = RNG.standard_normal((50, 2))
    np.testing.assert_array_equal(fit_ties(smooth).spread(smooth, RNG), smooth)


def test_an_atom_has_its_share_of_the_probability():
    ties, _, marginals = _fit()
    for atom, half_width, share in zip(ties.atoms[0], ties.half_widths[0], (0.6, 0.2),
                                       strict=True):
        assert _probability(marginals, atom - half_width, atom + half_width) == pytest.approx(
            share, abs=0.02)
    # And the other values have the rest, as far as they reach.
    assert _probability(marginals, 1.5, 20.0) == pytest.approx(0.2, abs=0.03)


def test_curves_through_atoms_are_a_density_and_invert():
    _, spread, marginals = _fit()
    x = np.unique(np.concatenate([np.linspace(-30, 60, 20_000), np.linspace(-0.1, 1.1, 200_001)]))
    z, log_slope = marginals.to_scores(x[:, None])
    assert trapezoid(norm.pdf(z[:, 0]) * np.exp(log_slope), x) == pytest.approx(1, abs=2e-3)
    z, _ = marginals.to_scores(spread)
    np.testing.assert_allclose(marginals.to_data(z), spread, atol=1e-9)


def test_no_value_between_counts_is_impossible():
    """Where all low counts are atoms, and the other values lie far above them."""
    x = np.random.default_rng(0).poisson(3, (5000, 1)).astype(float)
    ties = fit_ties(x / x.std())
    curve = fit_marginals(ties.spread(x / x.std(), np.random.default_rng(1)), ties,
                          n_knots=12, n_normal=20)
    z, log_slope = curve.to_scores(np.linspace(-1, 12, 400)[:, None] / x.std())
    assert np.isfinite(log_slope).all()
    assert (np.diff(z[:, 0]) > 0).all()


def test_a_value_that_hardly_any_row_has_is_not_impossible():
    """As a corner's pixel in pictures: zero but in a few rows, whose values say little."""
    rng = np.random.default_rng(0)
    column = np.zeros(1500)
    column[:8] = rng.integers(1, 9, 8)
    column /= column.std()
    ties = fit_ties(column[:, None])
    curve = fit_marginals(ties.spread(column[:, None], rng), ties, n_knots=12, n_normal=20)
    z, log_slope = curve.to_scores(np.array([[2.0], [5.0]]))
    assert (norm.logpdf(z[:, 0]) + log_slope > -60).all()


def test_a_column_of_levels_is_drawn_as_levels_in_their_shares():
    levels = np.repeat([0.0, 1.0, 3.0], [500, 350, 150])[:, None]
    model = flowaa.NormalizingFlow(
        architecture=Architecture((Stage("none", 1, 8, 1),), law="spline", scan=True),
        max_seconds=2, random_state=0).fit(levels)
    drawn = model.sample(4000)
    shares = [(np.abs(drawn - level) < 0.11).mean() for level in (0.0, 1.0, 3.0)]
    np.testing.assert_allclose(shares, [0.5, 0.35, 0.15], atol=0.04)
    density = np.exp(model.score_samples([[0.0], [1.0], [3.0], [2.0]]))
    assert density[3] < 0.1 * density[:3].min()  # no row ever had this value
    assert model.radius_ks_ < 0.15


@pytest.mark.parametrize("levels", [
    [0.3, 0.1 + 0.2, 1.0, 2.0], [0.0, 1.0, 1.0 + 1e-8, 2.0], [0.0, 1.0, 1e12]])
def test_levels_that_differ_by_rounding_are_one(levels):
    column = np.random.default_rng(0).choice(levels, 600)[:, None]
    column = (column - column.mean()) / column.std()
    ties = fit_ties(column)
    spread = ties.spread(column, np.random.default_rng(1))
    z, log_slope = fit_marginals(spread, ties, n_knots=12, n_normal=20).to_scores(column)
    assert np.isfinite(z).all()
    assert np.isfinite(log_slope).all()


def test_the_simple_laws_do_not_win_by_spikes_at_levels():
    # Normal laws whose deviation goes to 0 at a level would have any likelihood there.
    rng = np.random.default_rng(0)
    angle, coin = rng.uniform(0, 2 * np.pi, 600), rng.integers(0, 2, 600)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.standard_normal((600, 2))
    model = flowaa.NormalizingFlow(
        architecture=Architecture((Stage("none", 1, 8, 1),), law="spline", scan=True),
        max_seconds=5, random_state=0).fit(np.column_stack([ring, coin]))
    at, beside = model.score_samples([[1.0, 0.0, 0.0], [1.0, 0.0, 0.009]])
    assert beside > at - 1.0  # within the level's interval
    drawn = model.sample(2000)[:, 2]
    assert (np.minimum(np.abs(drawn), np.abs(drawn - 1)) < 0.1).mean() > 0.9
