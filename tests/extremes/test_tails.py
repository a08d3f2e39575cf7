"""Fits of tails against SciPy, their intervals by simulation, and what bad data is told."""

import warnings

import numpy as np
import pytest
from scipy import stats

from flowaa import extremes
from flowaa.errors import FlowaaWarning, UserError
from flowaa.figures.tails import draw_return_levels


def excesses(shape, n=500, seed=0):
    return 3 + 2 * stats.genpareto.rvs(shape, size=n, random_state=seed)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4, 1.0])
def test_likelihood_fits_are_scipys(shape):
    x = excesses(shape)
    tail = extremes.PeaksOverThreshold(threshold=3.0).fit(x)
    wanted, _, scale = stats.genpareto.fit(x - 3, shape, floc=0, scale=2)
    assert tail.shape_ == pytest.approx(wanted, abs=1e-3)
    assert tail.scale_ == pytest.approx(scale, rel=1e-3)
    maxima = 1e4 + 5 * stats.genextreme.rvs(-shape, size=300, random_state=1)
    blocks = extremes.BlockMaxima().fit(maxima)
    c, location, scale = stats.genextreme.fit(maxima, -shape, loc=1e4, scale=5)
    assert blocks.shape_ == pytest.approx(-c, abs=1e-3)
    assert blocks.location_ == pytest.approx(location, abs=1e-3 * scale)
    assert blocks.scale_ == pytest.approx(scale, rel=1e-3)


def test_gumbels_law_where_the_shape_is_known():
    x = stats.gumbel_r.rvs(5, 2, size=400, random_state=2)
    fit = extremes.BlockMaxima(shape=0.0).fit(x)
    location, scale = stats.gumbel_r.fit(x)
    assert (fit.location_, fit.scale_) == pytest.approx((location, scale), rel=1e-4)
    # The observed information's inverse is near the expected one (Gumbel 1958).
    assert fit.standard_errors_[0] == pytest.approx(1.053 * scale / 20, rel=0.1)
    assert fit.standard_errors_[1] == pytest.approx(0.780 * scale / 20, rel=0.15)
    assert fit.standard_errors_[2] == 0


@pytest.mark.parametrize("method", ["pwm", "lmoments"])
def test_moment_fits_find_the_parameters(method):
    tail = extremes.PeaksOverThreshold(threshold=3.0, method=method).fit(excesses(0.2, 20_000))
    assert (tail.shape_, tail.scale_) == pytest.approx((0.2, 2.0), abs=0.06)
    maxima = 7 + 2 * stats.genextreme.rvs(-0.2, size=20_000, random_state=3)
    fit = extremes.BlockMaxima(method=method).fit(maxima)
    assert (fit.location_, fit.scale_, fit.shape_) == pytest.approx((7, 2, 0.2), abs=0.06)
    for method_shape in (0.3, -0.3):
        sample = stats.genextreme.rvs(-method_shape, size=20_000, random_state=4)
        assert extremes.BlockMaxima(method=method).fit(sample).shape_ == pytest.approx(
            method_shape, abs=0.05)


def test_levels_and_periods_are_inverse_and_empirical_below():
    x = np.random.default_rng(0).standard_t(4, 5000)
    tail = extremes.PeaksOverThreshold(threshold=2.0).fit(x)
    assert tail.rate_ == np.mean(x > 2)
    for n in (50.0, 1e3, 1e6):
        assert float(tail.return_period(tail.return_level(n))) == pytest.approx(n, rel=1e-6)
    level = tail.interval(n=1e4)
    assert level.low < stats.t.isf(1e-4, 4) < level.high
    assert tail.return_level(2) == pytest.approx(np.median(x))
    assert float(tail.return_period(np.median(x))) == pytest.approx(2, rel=1e-3)
    survival = float(tail.law_.survival_function(np.float32(tail.return_level(1e4))))
    assert survival * tail.rate_ == pytest.approx(1e-4, rel=1e-3)
    maxima = extremes.BlockMaxima(block_size=50).fit(x)
    assert maxima.n_blocks_ == 100
    assert float(maxima.return_period(maxima.return_level(30))) == pytest.approx(30)


def test_profile_interval_is_where_the_likelihood_ratio_allows():
    x = excesses(0.2, 200)
    tail = extremes.PeaksOverThreshold(threshold=3.0).fit(x)
    found = tail.interval("shape")
    best = tail.fit_.negative_log_likelihood(tail.fit_.parameters)
    for end in (found.low, found.high):
        free_scale = min(stats.genpareto.nnlf((end, 0.0, s), x - 3)
                         for s in np.linspace(0.8, 4, 4001))
        assert 2 * (free_scale - best) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-2)
    level = tail.interval(n=1e4)
    assert level.low < level.estimate < level.high
    assert level.high - level.estimate > level.estimate - level.low  # skewed, as levels are
    delta = tail.interval(n=1e4, kind="delta")
    assert delta.estimate == pytest.approx(tail.return_level(1e4))


def test_intervals_cover():
    """Of 100 samples, 80 % intervals within 3 standard errors; the benchmark `tails` has more."""
    covered = np.zeros(2)
    for seed in range(100):
        tail = extremes.PeaksOverThreshold(threshold=0.0).fit(
            stats.genpareto.rvs(0.1, size=300, random_state=seed))
        shape, scale = (tail.interval(name, kind="delta", confidence=0.8)
                        for name in ("shape", "scale"))
        covered += [shape.low <= 0.1 <= shape.high, scale.low <= 1 <= scale.high]
    assert np.all(np.abs(covered / 100 - 0.8) < 0.12)


def test_threshold_is_found_where_the_tail_begins():
    """Uniform up to 1, exponential beyond: half of the rows are tail."""
    random = np.random.default_rng(0)
    x = np.concatenate([random.uniform(0, 1, 6000), 1 + 0.2 * random.exponential(size=1500)])
    chosen = extremes.choose_threshold(x)
    assert 0.9 < chosen < 1.2
    pure = random.exponential(size=2000)
    assert extremes.choose_threshold(pure) == pytest.approx(np.quantile(pure, 0.85))


def test_mean_residual_life_and_clusters():
    x = np.array([1.0, 2, 3, 10])
    mean, error = extremes.mean_residual_life(x, [0, 2.5, 20])
    np.testing.assert_allclose(mean, [4, 4, np.nan])
    assert error[1] == pytest.approx(np.std([0.5, 7.5], ddof=1) / 2**0.5)
    assert np.isnan(error[2])
    series = [0, 5, 7, 0, 6, 0, 0, 0, 9]
    assert extremes.cluster_maxima(series, 4, 1).tolist() == [7, 6, 9]
    assert extremes.cluster_maxima(series, 4, 2).tolist() == [7, 9]


@pytest.mark.parametrize("estimator", [extremes.hill, extremes.moment, extremes.pickands])
def test_tail_indices_within_their_errors(estimator):
    if estimator is not extremes.hill:
        uniform = np.random.default_rng(1).uniform(1, 2, 20_000)  # ξ = −1
        found = estimator(uniform, 500)
        assert abs(found.shape + 1) < 4 * found.standard_error
    found = estimator(np.random.default_rng(0).pareto(2, 20_000) + 1, 500)  # ξ = ½
    assert abs(found.shape - 0.5) < 4 * found.standard_error
    draws = [estimator(np.random.default_rng(i).pareto(2, 3000) + 1, 200).shape for i in range(200)]
    assert np.std(draws) == pytest.approx(found.standard_error * (500 / 200) ** 0.5, rel=0.25)


@pytest.mark.parametrize(("x", "said"), [
    (np.r_[np.arange(30.0), np.nan], "1 NaN or infinite values among 31"),
    (np.r_[np.arange(30.0), np.inf], "1 NaN or infinite"),
    (np.arange(5.0), "has 5 values; at least 10 are needed"),
    (np.ones(100), "0 values exceed the threshold 1.5, 0 of them different: .* at least 10"),
    (np.full(100, 2.0), "100 values exceed .*, 1 of them different: a fit needs at least 10"),
    (np.ones((20, 2)), "one row"),
    ("far", "must be a number"),
])
def test_data_that_cannot_be_fitted(x, said):
    with pytest.raises(UserError, match=said) as error:
        extremes.PeaksOverThreshold(threshold=1.5).fit(x)
    assert "\n" not in str(error.value)


def test_wrong_arguments():
    x = excesses(0.1)
    tail = extremes.PeaksOverThreshold(threshold=3.0).fit(x)
    for call, said in (
        (lambda: extremes.PeaksOverThreshold(threshold=3.0, method="guess").fit(x), "ml, pwm"),
        (lambda: tail.interval("mode"), "'mode'"),
        (lambda: tail.interval(n=0.5), "return period"),
        (lambda: tail.interval("shape", confidence=95), "confidence"),
        (lambda: extremes.PeaksOverThreshold(threshold=3.0, method="pwm").fit(x).interval("shape"),
         "profile needs method='ml'"),
        (lambda: extremes.BlockMaxima(shape=0.0, method="pwm").fit(x), "known shape"),
        (lambda: extremes.BlockMaxima(block_size=100).fit(x), "5 block maxima, 5 of them"),
        (lambda: extremes.BlockMaxima(block_size=1000).fit(x), "only 500 values"),
        (lambda: extremes.choose_threshold(np.ones(100)), "fewer than 10 different"),
        (lambda: extremes.hill(-x, 10), "must be positive"),
        (lambda: extremes.pickands(np.ones(100), 10), "ties"),
    ):
        with pytest.raises(UserError, match=said) as error:
            call()
        assert "\n" not in str(error.value)


def test_figure_shows_levels_and_data():
    x = excesses(0.1)
    for fit in (extremes.PeaksOverThreshold(threshold=4.0).fit(x), extremes.BlockMaxima().fit(x)):
        axes = draw_return_levels(fit).axes[0]
        lines = {line.get_label(): line.get_data() for line in axes.lines}
        n, level = lines["fitted"]
        assert level[10] == pytest.approx(fit.return_level(n[10]))
        assert lines["data"][1][-1] == x.max()


@pytest.mark.parametrize(("method", "kind"), [("ml", "profile"), ("pwm", "delta")])
def test_the_band_is_of_the_interval_that_is_stated(method, kind):
    fit = extremes.PeaksOverThreshold(threshold=4.0, method=method).fit(excesses(0.1))
    axes = draw_return_levels(fit).axes[0]
    band = axes.collections[0]
    assert band.get_label() == f"95 %, {kind}"
    ends = band.get_paths()[0].vertices
    last = ends[ends[:, 0] == ends[:, 0].max()]
    interval = fit.interval(n=last[0, 0], kind=kind)
    assert (last[:, 1].min(), last[:, 1].max()) == pytest.approx(interval[1:], rel=1e-6)


def test_levels_of_a_heavy_tail_have_a_logarithmic_axis():
    heavy, light = excesses(0.8), excesses(-0.3)
    axis_of = {name: draw_return_levels(fit.fit(x)).axes[0].get_yscale() for name, fit, x in (
        ("heavy", extremes.PeaksOverThreshold(threshold=4.0), heavy),
        ("maxima", extremes.BlockMaxima(block_size=20), heavy),
        ("light", extremes.PeaksOverThreshold(threshold=4.0), light),
        ("negative", extremes.PeaksOverThreshold(threshold=-96.0), heavy - 100))}
    assert axis_of == {"heavy": "log", "maxima": "log", "light": "linear", "negative": "linear"}


def test_uniform_data_have_no_profile_and_are_drawn_without_a_band():
    x = np.random.default_rng(0).random(500)
    fit = extremes.PeaksOverThreshold(threshold=0.5).fit(x)
    assert not draw_return_levels(fit).axes[0].collections
    with pytest.raises(UserError, match=r"no smooth maximum .* use kind='bootstrap'"):
        fit.interval(n=1000)


def test_p_values_of_exponential_tails_are_uniform():
    """Below a half, where xi is found above 0; in the other half of all samples they are 1."""
    x = np.random.default_rng(0).exponential(size=(300, 2000))
    p = np.array([extremes.fit_upper_tail(row).p_value for row in x])
    found = p[p < 1]
    assert 0.4 < len(found) / len(p) < 0.6  # fewer than a half: the estimate has a bias downwards
    assert found.max() <= 0.5
    assert stats.kstest(2 * found, "uniform").pvalue > 0.01


@pytest.mark.parametrize("law", [stats.norm(), stats.uniform(), stats.poisson(3), stats.gamma(3)])
def test_light_upper_tails_are_no_power_law(law):
    tail = extremes.fit_upper_tail(law.rvs(size=3000, random_state=1))
    assert (tail.shape, tail.p_value) == (0, 1) or tail.p_value > 1e-3


@pytest.mark.parametrize(("shape", "unit"), [(0.5, 1.0), (1.5, 1e200), (0.8, 1e-200)])
def test_upper_tails_of_a_power_law_have_its_index_in_any_unit(shape, unit):
    x = unit * stats.genpareto.rvs(shape, size=20_000, random_state=2)
    tail = extremes.fit_upper_tail(x)
    assert tail.n_exceedances == 2000
    assert tail.shape == pytest.approx(shape, abs=3 * (1 + shape) / np.sqrt(2000))
    assert tail.p_value < 1e-6


def test_upper_tails_that_collapse_or_are_few_are_light():
    zeros = np.zeros(1000)
    assert extremes.fit_upper_tail(zeros) == (0, 1, 0)
    assert extremes.fit_upper_tail(np.arange(50.0)).n_exceedances == 5
    zeros[:2] = 1e9
    assert extremes.fit_upper_tail(zeros).p_value == 1
    with pytest.raises(UserError, match="share"):
        extremes.fit_upper_tail(np.arange(50.0), share=1.0)


@pytest.mark.parametrize("shape", [3.0, 4.0])
def test_the_heaviest_tails_are_fitted(shape):
    """Their largest value is 1e12 times the usual ones, which is no collapse."""
    x = stats.genpareto.rvs(shape, size=20_000, random_state=1)
    tail = extremes.PeaksOverThreshold(threshold=0.0).fit(x)
    assert tail.shape_ == pytest.approx(shape, abs=0.1)
    assert extremes.fit_upper_tail(x).shape == pytest.approx(shape, abs=0.4)


@pytest.mark.parametrize("far", [1e6, 1e12, 1e29])
def test_one_value_far_beyond_leaves_a_fit(far):
    random = np.random.default_rng(0)
    x = np.r_[random.exponential(size=500), far]
    assert extremes.PeaksOverThreshold(threshold=0.0).fit(x).scale_ == pytest.approx(1, abs=0.3)
    fit = extremes.BlockMaxima().fit(np.r_[random.gumbel(size=500), far])
    assert (fit.location_, fit.scale_) == pytest.approx((0, 1), abs=0.3)


@pytest.mark.parametrize("unit", [1e-8, 1e8, 1e20])
def test_errors_and_intervals_have_the_data_s_unit(unit):
    x = excesses(0.1) - 3
    for fit in (lambda x: extremes.PeaksOverThreshold(threshold=0.0).fit(x),
                lambda x: extremes.BlockMaxima().fit(x)):
        here, there = fit(x), fit(unit * x)
        scales = np.ones(len(here.standard_errors_))
        scales[:-1] = unit  # all but the shape
        np.testing.assert_allclose(there.standard_errors_, scales * here.standard_errors_,
                                   rtol=1e-2)
        np.testing.assert_allclose(there.interval(n=1e4, kind="delta"),
                                   unit * np.array(here.interval(n=1e4, kind="delta")), rtol=1e-2)


@pytest.mark.parametrize("shape", [1.0, 2.0])
def test_a_power_law_is_a_pareto_tail_from_the_lowest_threshold(shape):
    """L-moments, by which lighter tails are judged, do not exist there."""
    samples = [stats.genpareto.rvs(shape, size=5000, random_state=seed) for seed in range(5)]
    assert np.median([np.mean(x > extremes.choose_threshold(x)) for x in samples]) > 0.1


def test_tied_values_at_a_threshold_do_not_exceed_it():
    random = np.random.default_rng(0)
    x = np.r_[np.zeros(900), random.exponential(size=100)]
    threshold = extremes.choose_threshold(x)
    assert extremes.PeaksOverThreshold().fit(x).n_exceedances_ == (x > threshold).sum() <= 100


def test_levels_far_beyond_keep_their_digits():
    """Gumbel's level of n blocks is ln n for large n."""
    fit = extremes.BlockMaxima(shape=0.0).fit(stats.gumbel_r.rvs(size=400, random_state=0))
    for n in (1e12, 1e17, 1e200):
        assert fit.return_level(n) == pytest.approx(fit.location_ + fit.scale_ * np.log(n),
                                                    rel=1e-6)


def test_ends_of_the_laws_are_their_quantiles():
    gev, gpd = extremes.GeneralisedExtremeValue, extremes.GeneralisedPareto
    np.testing.assert_array_equal(gpd(0.0, 1.0, 0.5).quantile(np.array([0.0, 1.0])), [0, np.inf])
    np.testing.assert_array_equal(gpd(1.0, 1.0, -0.5).quantile(np.array([0.0, 1.0])), [1, 3])
    np.testing.assert_array_equal(gev(0.0, 1.0, -0.5).quantile(np.array([0.0, 1.0])), [-np.inf, 2])
    np.testing.assert_array_equal(gev(0.0, 1.0, 0.5).quantile(np.array([0.0, 1.0])), [-2, np.inf])
    np.testing.assert_array_equal(gev(0.0, 1.0, 0.0).quantile(np.array([0.0, 1.0])),
                                  [-np.inf, np.inf])


def test_shapes_below_minus_a_half_are_found():
    x = stats.genpareto.rvs(-0.75, size=400, random_state=0)
    assert extremes.PeaksOverThreshold(threshold=0.0).fit(x).shape_ == pytest.approx(-0.75, abs=0.1)


def test_a_largest_value_that_refutes_the_fit_is_said():
    x = np.random.default_rng(0).exponential(size=3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extremes.PeaksOverThreshold(threshold=1.0).fit(x)
    with pytest.warns(FlowaaWarning, match="the largest of 3001 values is one row in .* outlier"):
        extremes.PeaksOverThreshold(threshold=1.0, shape=0.0).fit(np.r_[x, 25.0])


def test_a_few_values_at_the_bound_are_said():
    x = np.r_[np.zeros(500), np.linspace(0.1, 1.0, 12)]
    with pytest.warns(FlowaaWarning, match="12 values above .* 30 values or more are needed"):
        extremes.PeaksOverThreshold(threshold=0.0).fit(x)


def test_the_rate_is_clusters_a_row_and_widens_the_delta_interval():
    """Pairs of equal rows: half as many clusters as exceedances."""
    x = np.repeat(np.random.default_rng(0).exponential(size=2000), 2)
    pairs = extremes.PeaksOverThreshold(threshold=2.0, run_length=1).fit(x)
    assert pairs.rate_ == pytest.approx(pairs.n_exceedances_ / 4000)
    assert pairs.rate_ < 0.6 * np.mean(x > 2)
    assert pairs.return_level(2 / pairs.rate_) == pytest.approx(
        2 + pairs.fit_.level(-np.log(2.0)))
    # At a known shape and n = 1/rate the level is the threshold: all that is not known is the rate.
    tail = extremes.PeaksOverThreshold(threshold=1.0, shape=0.0).fit(x)
    low, high = tail.interval(n=1.0001 / tail.rate_, kind="delta")[1:]
    deviation = tail.scale_ * np.sqrt((1 - tail.rate_) / (tail.rate_ * len(x)))
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.01)


def test_pickands_error_is_that_of_repeated_samples():
    found = [extremes.pickands(stats.genpareto.rvs(0.5, size=4000, random_state=seed), 400)
             for seed in range(60)]
    assert np.std([each.shape for each in found]) == pytest.approx(
        np.mean([each.standard_error for each in found]), rel=0.3)


def test_levels_just_beyond_the_threshold_know_that_the_rate_is_estimated():
    """There nearly all that is unknown is how many rows exceed the threshold."""
    hits = 0
    for seed in range(60):
        x = np.random.default_rng(seed).exponential(size=500)
        found = extremes.PeaksOverThreshold(
            threshold=np.quantile(x, 0.9)).fit(x).interval(n=12)
        hits += found.low < np.log(12) < found.high
    assert hits >= 52  # of 60: 95 % are 57, and one time in a thousand fewer than 52
