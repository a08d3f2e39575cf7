"""Tails of tables that fall as a power: the t laws and the curves, against SciPy and the truth."""

import numpy as np
import pytest
from scipy import stats

from flowaa.flow.tables.independent_t import IndependentT, can_be_unmixed, fit_independent_t
from flowaa.flow.tables.marginal_fit import fit_marginals
from flowaa.flow.tables.pareto_tails import (
    NO_TAIL,
    ParetoTail,
    drawn_together,
    fit_pareto,
    heavy_tail,
)
from flowaa.flow.tables.student_t import fit_degrees, fit_student_t
from flowaa.flow.tables.ties import fit_ties

MIXING = np.array([[1.0, 0.6, 0.0], [0.0, 1.0, -0.5], [0.3, 0.0, 2.0]])


def mixed(degrees, n, seed=0):
    return np.random.default_rng(seed).standard_t(degrees, (n, 3)) @ MIXING + [1.0, -2.0, 0.5]


@pytest.mark.parametrize("degrees", [1.5, 3.0])
def test_the_t_law_of_heavy_rows_is_found(degrees):
    true = stats.multivariate_t([1, -2, 0.5], MIXING.T @ MIXING, degrees)
    law = fit_student_t(true.rvs(6000, random_state=0))
    assert law.degrees == pytest.approx(degrees, rel=0.08)
    np.testing.assert_allclose(law.shape, true.shape, rtol=0.1, atol=0.1)
    np.testing.assert_allclose(law.mean, true.loc, atol=0.1)
    x = true.rvs(50, random_state=1)
    np.testing.assert_allclose(
        law.log_prob(x), stats.multivariate_t(law.mean, law.shape, law.degrees).logpdf(x))
    drawn = law.sample(np.random.default_rng(0), 50_000)
    np.testing.assert_allclose(
        np.quantile(np.abs(drawn - law.mean), 0.9, axis=0),
        np.sqrt(np.diag(law.shape)) * stats.t(law.degrees).ppf(0.95), rtol=0.05)


def test_the_t_law_s_shape_is_found_in_many_dimensions():
    """Where a row's weight is (degrees + d)/(degrees + distance)."""
    x = stats.multivariate_t(np.zeros(10), np.eye(10), 3).rvs(8000, random_state=0)
    law = fit_student_t(x)
    assert law.degrees == pytest.approx(3, rel=0.05)
    np.testing.assert_allclose(np.diag(law.shape), 1.0, atol=0.08)


def test_the_t_law_of_normal_rows_is_nearly_normal():
    x = np.random.default_rng(0).standard_normal((4000, 3)) @ MIXING
    law = fit_student_t(x)
    assert law.degrees > 40
    np.testing.assert_allclose(
        law.shape * law.degrees / (law.degrees - 2), np.cov(x.T), rtol=0.1, atol=0.1)


def test_mixed_sources_are_found():
    x = mixed([2.0, 3.0, 8.0], 8000)
    law = fit_independent_t(x, fit_student_t(x))
    # Each unmixed coordinate is one source: a row of the product has one large entry.
    product = np.abs(MIXING @ law.unmixing)
    product /= product.max(0)
    assert (np.sort(product, axis=0)[1] < 0.06).all()
    np.testing.assert_allclose(np.sort(law.degrees), [2.0, 3.0, 8.0], rtol=0.25)
    fresh = mixed([2.0, 3.0, 8.0], 4000, seed=1)
    true = IndependentT(np.array([1.0, -2.0, 0.5]), np.linalg.inv(MIXING), np.array([2.0, 3, 8]))
    assert law.log_prob(fresh).mean() == pytest.approx(true.log_prob(fresh).mean(), abs=0.01)


def test_the_law_of_sources_is_scipy_s():
    law = IndependentT(np.array([1.0, -2.0, 0.5]), np.linalg.inv(MIXING), np.array([2.0, 3, 8]))
    x = mixed([2.0, 3.0, 8.0], 40)
    sources = (x - law.mean) @ law.unmixing
    expected = sum(stats.t(nu).logpdf(y) for nu, y in zip(law.degrees, sources.T, strict=True))
    np.testing.assert_allclose(
        law.log_prob(x), expected - np.log(np.abs(np.linalg.det(MIXING))), atol=1e-10)
    drawn = law.sample(np.random.default_rng(0), 40_000)
    np.testing.assert_allclose(np.quantile(drawn, [0.1, 0.9], axis=0),
                               np.quantile(mixed([2.0, 3.0, 8.0], 40_000), [0.1, 0.9], axis=0),
                               rtol=0.05, atol=0.03)


@pytest.mark.parametrize("shape", [0.2, 0.5, 1.0])
def test_pareto_s_scale_and_shape_are_found(shape):
    excess = np.sort(stats.genpareto.rvs(shape, scale=3.0, size=4000, random_state=0))
    tail = fit_pareto(excess)
    assert tail.shape == pytest.approx(shape, abs=0.06)
    assert tail.scale == pytest.approx(3.0, rel=0.06)
    c, _, scale = stats.genpareto.fit(excess, shape, floc=0)
    assert tail == pytest.approx((scale, c), rel=0.02)


def test_scores_of_a_power_are_the_normal_law_s():
    tail, excess = ParetoTail(2.0, 0.5), np.array([0.0, 0.1, 3.0, 1e3, 1e9, 1e30])
    z, log_slope = tail.score(excess, np.log(0.07))
    survival = 0.07 * stats.genpareto.sf(excess, 0.5, scale=2.0)
    np.testing.assert_allclose(z, stats.norm.isf(survival), rtol=1e-9)
    # dz / dx is the ratio of the densities.
    density = 0.07 * stats.genpareto.pdf(excess, 0.5, scale=2.0)
    np.testing.assert_allclose(log_slope, np.log(density) - stats.norm.logpdf(z), rtol=1e-9)
    np.testing.assert_allclose(tail.excess(z, np.log(0.07)), excess, rtol=1e-8, atol=1e-8)


def test_a_feature_s_power_goes_on_beyond_its_rows():
    x = stats.t(2).rvs(8000, random_state=0)[:, None]
    fit = fit_marginals(x, n_knots=12, n_normal=20)
    np.testing.assert_allclose(fit.tail_shapes, 0.5, atol=0.15)
    levels = np.array([1e-2, 1e-3, 1e-5])
    found = fit.to_data(stats.norm.isf(levels)[:, None])[:, 0]
    assert np.abs(np.log10(found / stats.t(2).isf(levels))).max() < 0.35
    np.testing.assert_allclose(fit.to_scores(found[:, None])[0][:, 0], stats.norm.isf(levels))


def test_slopes_of_power_tails_are_derivatives():
    x = np.stack([stats.t(2).rvs(3000, random_state=0), stats.t(1).rvs(3000, random_state=1)], 1)
    fit = fit_marginals(x, n_knots=12, n_normal=20)
    at = np.array([[-50.0, 900.0], [9.0, -4e4], [0.3, 0.1], [3.0, 20.0]])
    z, log_slope = fit.to_scores(at)
    step = 1e-5 * np.abs(at)
    slopes = (fit.to_scores(at + step)[0] - fit.to_scores(at - step)[0]) / (2 * step)
    np.testing.assert_allclose(log_slope, np.log(slopes).sum(1), atol=1e-5)
    np.testing.assert_allclose(fit.to_data(z), at, rtol=1e-8)


@pytest.mark.parametrize("law", [stats.norm(), stats.uniform(), stats.beta(2, 5), stats.expon()])
def test_light_tails_stay_straight(law):
    fit = fit_marginals(law.rvs(6000, random_state=0)[:, None], n_knots=12, n_normal=20)
    assert (fit.tail_shapes == 0).all()


def test_few_rows_tell_no_power():
    assert heavy_tail(stats.pareto(1).rvs(49, random_state=0)).shape == 0
    x = np.repeat(stats.t(1).rvs(100, random_state=0), 20)[:, None]
    assert (fit_marginals(x, n_knots=12, n_normal=20, n_copies=20).tail_shapes == 0).all()


def test_alike_indices_are_drawn_together_and_others_are_not():
    alike = [np.sort(stats.genpareto.rvs(0.5, size=500, random_state=seed)) for seed in range(20)]
    alone = [fit_pareto(excess) for excess in alike]
    together = drawn_together([*alone, NO_TAIL], [*alike, np.zeros(0)])
    assert together[-1] == NO_TAIL
    assert len({tail.shape for tail in together[:-1]}) == 1
    assert together[0].shape == pytest.approx(0.5, abs=0.04)
    for tail, excess in zip(together[:3], alike, strict=False):  # scales are SciPy's at the index
        assert tail.scale == pytest.approx(
            stats.genpareto.fit(excess, f0=tail.shape, floc=0)[2], rel=1e-3)
    other = [*alike, np.sort(stats.genpareto.rvs(1.5, size=500, random_state=0))]
    apart = [fit_pareto(excess) for excess in other]
    assert drawn_together(apart, other) == apart
    assert drawn_together([alone[0]], alike[:1]) == [alone[0]]


@pytest.mark.parametrize("degrees", [0.7, 1.0, 1.5])
def test_the_heaviest_tails_are_seen(degrees):
    """Their deviation is that of a few rows, and moves what depends on it beyond the others."""
    for seed in range(6):
        x = stats.t(degrees).rvs(2000, random_state=seed)[:, None]
        fit = fit_marginals((x - x.mean()) / x.std(), n_knots=12, n_normal=20)
        np.testing.assert_allclose(fit.tail_shapes, 1 / degrees, rtol=0.5)


def test_columns_with_atoms_have_tails_too():
    rng = np.random.default_rng(0)
    claims = np.where(rng.random(6000) < 0.3, 0.0, rng.pareto(1.5, 6000) + 1)[:, None]
    claims = (claims - claims.mean()) / claims.std()
    ties = fit_ties(claims)
    fit = fit_marginals(ties.spread(claims, rng), ties, n_knots=12, n_normal=20)
    assert fit.tail_shapes[0, 0] == 0  # nothing is below the atom
    assert fit.tail_shapes[0, 1] == pytest.approx(1 / 1.5, abs=0.15)
    z, _ = fit.to_scores(claims[claims[:, 0] > np.quantile(claims, 0.99)])
    assert stats.kstest(stats.norm.sf(z[:, 0]) / 0.01, "uniform").pvalue > 1e-3


def test_degrees_of_freedom_that_rows_do_not_tell_are_the_prior_s():
    assert fit_degrees(lambda degrees: 0.0) == pytest.approx(10, rel=1e-3)  # of ln nu its mode
    assert fit_student_t(np.random.default_rng(0).standard_normal((12, 2))).degrees < 60


def test_few_rows_are_not_unmixed():
    assert can_be_unmixed(100, 10)
    assert not can_be_unmixed(99, 10)
    assert not can_be_unmixed(10_000, 1)


def test_curves_of_the_heaviest_tails_make_normal_scores():
    x, fresh = (stats.t(1).rvs(4000, random_state=seed)[:, None] for seed in (0, 1))
    scale = x.std()
    z, _ = fit_marginals(x / scale, n_knots=12, n_normal=20).to_scores(fresh / scale)
    assert stats.kstest(z[:, 0], "norm").statistic < 0.05
    order = np.sort(fresh / scale, axis=0)
    assert (np.diff(fit_marginals(x / scale, n_knots=12, n_normal=20).to_scores(order)[0][:, 0])
            > 0).all()
