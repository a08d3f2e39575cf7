"""What the functions of `extremes` are wrongly given ends in one line that names it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from flowaa import extremes
from flowaa.errors import FlowaaWarning, UserError

KEY = jax.random.key(0)
X = np.random.default_rng(0).exponential(size=200)
HUGE = 10**12

shell, gumbel, exterior = extremes.sample_shell, extremes.sample_gumbel, extremes.sample_exterior
maxima, projected = extremes.block_maxima, extremes.sample_given_projection
pareto, extreme = extremes.GeneralisedPareto, extremes.GeneralisedExtremeValue
chosen, level = extremes.choose_threshold, extremes.gauge_return_level
HEAVY = 1 / np.linspace(0.001, 1, 500)


def peaks(x=X, **given):
    return extremes.PeaksOverThreshold(**{"threshold": 0.5, **given}).fit(x)


def blocks(x=X, **given):
    return extremes.BlockMaxima(**given).fit(x)


ROWS_OF_VALUES = {  # a row of numbers, wherever one is asked for
    "text": ("abc", "abc"), "numbers as text": (["1", "2"], "must be a number"),
    "none": (None, "None"), "a missing one": ([1.0, None], "no value in row 1"),
    "truth values": ([True, False], "must be a number"), "complex": ([1j, 2.0], "must be a number"),
    "ragged": ([[1], [2, 3]], "rows differ in length"), "a table": (np.ones((20, 2)), "one row"),
    "nan": ([1.0, np.nan], "NaN"), "infinite": ([1.0, -np.inf], "infinite"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "must be a number"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), "1 missing"),
    "empty": ([], "has 0 values"),
}
TAKE_A_ROW = {
    "block_maxima": lambda x: maxima(x, 1), "blocks": blocks, "peaks": peaks, "threshold": chosen,
    "hill": lambda x: extremes.hill(x, 2), "moment": lambda x: extremes.moment(x, 2),
    "pickands": lambda x: extremes.pickands(x, 2),
    "life": lambda x: extremes.mean_residual_life(x, 1.0),
    "thresholds": lambda x: extremes.mean_residual_life(X, x),
    "clusters": lambda x: extremes.cluster_maxima(x, 1.0, 2),
}
WRONG = {
    "int key": (lambda: shell(0, 2, 2, radius=1.0), "key is 0; give one random key"),
    "no key": (lambda: gumbel(None, 2, 2, extremeness=9), "key is None"),
    "key as text": (lambda: exterior("k", 2, 3, 1.5), "key is k"),
    "several keys": (lambda: extremes.sample_box(jax.random.split(KEY), 2, 0, 1), "array of keys"),
    "noise's key": (lambda: extremes.add_noise(1, [[1.0]], 1.0), "key is 1"),
    "permutation's key": (lambda: extremes.permute_features(1, [[1.0]]), "key is 1"),
    "mixture's key": (lambda: extremes.mix_up(1, np.ones((2, 2))), "key is 1"),
    "projection's key": (lambda: projected(1, [[0.0]], [[1.0, 0.0]]), "key is 1"),
    "stream's key": (lambda: extremes.stream(1, 2, shell), "key is 1"),
    "radii of other rows": (lambda: shell(KEY, 2, 2, radius=[1.0, 2.0, 3.0]), r"shape \(3,\)"),
    "radii as a column": (lambda: shell(KEY, 2, 2, radius=[[1.0], [2.0]]), r"shape \(2, 1\)"),
    "no radii": (lambda: shell(KEY, 2, 2, radius=[]), r"shape \(0,\)"),
    "deviations of other rows": (lambda: shell(KEY, 2, 2, sigma=[1.0] * 3), "sigma has the shape"),
    "quantiles of other rows": (lambda: shell(KEY, 2, 2, quantile=[0.1] * 3), "quantile has the"),
    "periods of other rows": (lambda: shell(KEY, 2, 2, extremeness=[9.0] * 3), "extremeness, the"),
    "maxima of other rows": (lambda: gumbel(KEY, 2, 2, extremeness=[9.0] * 3), "extremeness, the"),
    "gauges of other rows": (lambda: exterior(KEY, 2, 3, [1.0] * 3), "gauge has the shape"),
    "a true radius": (lambda: shell(KEY, 2, 2, radius=True), "radius is True"),
    "radius as text": (lambda: shell(KEY, 2, 2, radius="1"), "radius is 1; it must be a number"),
    "mean of NaN": (lambda: shell(KEY, 2, 2, radius=1.0, mean=np.nan), "mean is nan"),
    "no mean": (lambda: shell(KEY, 2, 2, radius=1.0, mean=None), "mean is None"),
    "negative scale": (lambda: gumbel(KEY, 2, 2, extremeness=9, scale=-1.0), "scale is -1.0"),
    "scale of zero": (lambda: shell(KEY, 2, 2, radius=1.0, scale=[1.0, 0.0]), "scale is"),
    "tail as text": (lambda: shell(KEY, 2, 2, radius=1.0, tail="no"), "tail is no"),
    "dimensions as text": (lambda: shell(KEY, 2, "2", radius=1.0), "d, the number of dim"),
    "weights of no axis": (lambda: extremes.gauge(1.0), "at least 1 axis"),
    "no weights": (lambda: extremes.gauge(np.zeros((2, 0))), "weights has the shape"),
    "weights as text": (lambda: extremes.distance_to_simplex("a"), "weights is a"),
    "projection of low rank": (lambda: projected(KEY, np.zeros((2, 2)), np.ones((2, 2))), "rank"),
    "too many targets": (lambda: projected(KEY, np.zeros((2, 3)), np.ones((3, 2))), "L at most D"),
    "target of one axis": (lambda: projected(KEY, np.zeros(2), np.ones((1, 2))), "projection has"),
    "projection's scale": (
        lambda: projected(KEY, np.zeros((2, 1)), np.ones((1, 2)), scale=-1.0), "scale is -1.0"),
    "inverted box": (lambda: extremes.sample_box(KEY, 2, [0.0, 1.0], [1.0, 0.0]), "low is above"),
    "endless box": (lambda: extremes.sample_box(KEY, 2, 0.0, np.inf), "high is inf"),
    "box of NaN": (lambda: extremes.sample_box(KEY, 2, np.nan, 1.0), "low is nan"),
    "box beyond floats": (lambda: extremes.sample_box(KEY, 2, 0.0, 1e200), "high is 1e"),
    "noise of other features": (
        lambda: extremes.add_noise(KEY, np.ones((2, 2)), np.ones(3)), "deviation has the shape"),
    "negative noise": (lambda: extremes.add_noise(KEY, [[1.0]], -1.0), "deviation is -1.0"),
    "noise on NaN": (lambda: extremes.add_noise(KEY, [[np.nan]], 1.0), "x is"),
    "features of no rows": (lambda: extremes.permute_features(KEY, 1.0), "x has the shape"),
    "features as text": (lambda: extremes.permute_features(KEY, "a"), "x is a"),
    "mixture of a number": (lambda: extremes.mix_up(KEY, 1.0), "x has the shape"),
    "two concentrations": (
        lambda: extremes.mix_up(KEY, np.ones((3, 2)), concentration=[1.0, 2.0]), "concentration"),
    "no sampler": (lambda: extremes.stream(KEY, 2, None), "sampler is None"),
    "sampler of other rows": (
        lambda: list(extremes.stream(KEY, 5, lambda key, n: jnp.zeros(3), batch_size=4)),
        "sampler gave the shape"),
    "radius of text": (lambda: extremes.chi_log_prob("a", 2), "r, the radius, is a"),
    "period of text": (lambda: extremes.chi_return_period("a", 2), "r, the radius, is a"),
    "1e8 dimensions": (lambda: extremes.chi_quantile(0.5, 10**8), "at most 10,000,000"),
    "moments of 1e9": (lambda: extremes.chi_moments(10**9), "at most 1e"),
    "dimensions of an array": (lambda: extremes.chi_log_cdf(1.0, np.array([1, 2])), "d, the numb"),
    "level's deviation": (lambda: level(9.0, [0.0, 0.0], [1.0, -1.0]), "deviations is"),
    "level's shapes": (lambda: level(9.0, [0.0] * 2, [1.0] * 3), "have the shapes"),
    "level of a number": (lambda: level(9.0, 0.0, 1.0), "means has the shape"),
    "law's scale": (lambda: pareto(0.0, np.nan, 0.0), "scale is nan"),
    "law's shape": (lambda: pareto(0.0, 1.0, np.nan), "shape is nan"),
    "law's location": (lambda: extreme("a", 1.0, 0.0), "location is a"),
    "law's shapes": (lambda: pareto(np.zeros(2), np.ones(3), 0.0), "have the shapes"),
    "law of text": (lambda: pareto(0.0, 1.0, 0.0).log_prob("a"), "value is a"),
    "law's share": (lambda: pareto(0.0, 1.0, 0.0).quantile(1.5), "between 0 and 1"),
    "law's share below": (lambda: extreme(0.0, 1.0, 0.0).quantile([-0.1]), "between 0 and 1"),
    "minus one draw": (lambda: pareto(0.0, 1.0, 0.0).sample(seed=KEY, sample_shape=-1), "n, the"),
    "block of 2.0": (lambda: maxima(X, 2.0), "block_size must be a whole number"),
    "block of True": (lambda: maxima(X, True), "block_size is True"),
    "threshold as text": (lambda: peaks(threshold="1"), "threshold is 1"),
    "threshold of NaN": (lambda: peaks(threshold=np.nan), "threshold is nan"),
    "two thresholds": (lambda: peaks(threshold=[1.0, 2.0]), "threshold has the shape"),
    "a true threshold": (lambda: peaks(threshold=True), "threshold is True"),
    "runs of 1.5": (lambda: peaks(run_length=1.5), "run_length"),
    "shape of NaN": (lambda: blocks(shape=np.nan), "shape is nan"),
    "shape as text": (lambda: blocks(shape="0"), "shape is 0; it must be a number"),
    "shape of -2": (lambda: peaks(shape=-2.0), "strictly between -1 and inf"),
    "huge values": (lambda: blocks(X * 1e200), "choose another unit"),
    "tiny values": (lambda: blocks(X * 1e-200), "choose another unit"),
    "huge peaks": (lambda: peaks(X * 1e200), "choose another unit"),
    "mostly ties": (lambda: blocks(np.r_[np.zeros(500), np.arange(12)]), "collapses"),
    "several periods": (lambda: peaks().return_level([10, 100]), "return period, has the shape"),
    "period of 1e400": (lambda: peaks().return_level(10**400), "more than float64 holds"),
    "interval at 1e300": (lambda: peaks(HEAVY, threshold=2.0).interval(n=1e300), "too large for"),
    "period as text": (lambda: blocks().return_period("a"), "x is a"),
    "confidences": (lambda: peaks().interval("shape", confidence=[0.9, 0.8]), "confidence has"),
    "a shape's period": (lambda: blocks().interval("shape", n=3), "has no return period"),
    "cluster's threshold": (lambda: extremes.cluster_maxima(X, None, 2), "threshold is None"),
    "no candidates": (lambda: chosen(X, n_candidates=0), "n_candidates is 0"),
    "quantile of 2": (lambda: chosen(X, highest_quantile=2), "highest_quantile is 2"),
    "significance of NaN": (lambda: chosen(X, significance=np.nan), "significance is nan"),
    "no draws": (lambda: chosen(X, n_bootstrap=0), "n_bootstrap is 0"),
    "seed as text": (lambda: chosen(X, seed="a"), "seed must be"),
    "equal moments": (lambda: extremes.moment([1.0, 2.0, 2.0], 2), "different"),
}
TOO_LARGE = {
    "shell": lambda: shell(KEY, HUGE, 2, radius=1.0),
    "dimensions": lambda: shell(KEY, 2, HUGE, radius=1.0),
    "normal": lambda: shell(KEY, 10**7, 10**7, sigma=1.0),
    "beyond int64": lambda: shell(KEY, 10**30, 2, radius=1.0),
    "beyond floats": lambda: shell(KEY, 10**400, 2, radius=1.0),
    "gumbel": lambda: gumbel(KEY, HUGE, 2, extremeness=10),
    "exterior": lambda: exterior(KEY, 2, HUGE, 1.5),
    "box": lambda: extremes.sample_box(KEY, HUGE, 0.0, 1.0),
    "stream": lambda: list(extremes.stream(
        KEY, HUGE, lambda key, n: shell(key, n, 2, radius=1.0), batch_size=HUGE)),
    "law": lambda: pareto(0.0, 1.0, 0.0).sample(seed=KEY, sample_shape=HUGE),
    "projection": lambda: projected(KEY, jnp.zeros((10**6, 1)), jnp.ones((1, 10**7))),
}


def assert_one_line(call, said):
    with pytest.raises(UserError, match=said) as error:
        call()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("taker", sorted(TAKE_A_ROW))
@pytest.mark.parametrize("row", sorted(ROWS_OF_VALUES))
def test_rows_of_values(taker, row):
    values, said = ROWS_OF_VALUES[row]
    assert_one_line(lambda: TAKE_A_ROW[taker](values), said)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_arguments_are_named(name):
    assert_one_line(*WRONG[name])


@pytest.mark.parametrize("name", sorted(TOO_LARGE))
def test_what_memory_cannot_hold_is_refused_before_it_is_tried(name):
    """XLA aborts the process: the last line of this file would not be reached."""
    assert_one_line(TOO_LARGE[name], r"(GiB|2\^80 bytes), and this machine has")


def test_a_refusal_states_what_was_asked():
    assert_one_line(TOO_LARGE["shell"], "14,901 GiB")  # 2 · 10¹² float32, and as many random bits


def test_integers_beyond_int32_keep_their_values():
    x = np.arange(10) + 2**40
    assert maxima(x, 5).tolist() == [2**40 + 4, 2**40 + 9]
    assert float(extremes.chi_log_survival(2**40, 2)) == pytest.approx(-(2.0**79))
    np.testing.assert_allclose(extremes.permute_features(KEY, np.full((2, 2), 2**40)), 2.0**40)
    np.testing.assert_allclose(extremes.mix_up(KEY, np.full((3, 2), 2**40)), 2.0**40)
    for value in (2**40, np.int64(2**40)):
        assert float(pareto(0.0, 1.0, 0.5).log_prob(value)) == pytest.approx(
            stats.genpareto(0.5).logpdf(2.0**40))


def test_units_do_not_matter_within_float32():
    plain = blocks()
    for unit in (1e25, 1e-25):
        scaled = blocks(X * unit)
        assert scaled.location_ / unit == pytest.approx(plain.location_, rel=1e-4)
        assert scaled.shape_ == pytest.approx(plain.shape_, abs=1e-4)
    with pytest.warns(FlowaaWarning, match="float32"):
        shifted = blocks(X + 2**30)
    assert shifted.return_level(100) - 2**30 == pytest.approx(plain.return_level(100), rel=1e-3)


@pytest.mark.parametrize("law", [pareto, extreme])
@pytest.mark.parametrize("shape", [-0.5, 0.0, 0.5, 2.0])
def test_laws_at_and_beyond_the_ends_of_floats(law, shape):
    made = law(0.0, 1.0, shape)
    assert float(made.cdf(np.inf)) == 1
    assert float(made.cdf(-np.inf)) == 0
    for end in (np.inf, -np.inf):
        assert float(made.log_prob(end)) == -np.inf
    assert np.isnan(made.log_prob(np.nan))
    oracle = stats.genpareto(shape) if law is pareto else stats.genextreme(-shape)
    for far in (1e35, 3e38):
        np.testing.assert_allclose(made.log_prob(far), oracle.logpdf(far), rtol=1e-5)
    assert np.isnan(peaks().return_period(np.nan))


def test_what_is_not_fitted_says_so():
    for model, call in ((extremes.BlockMaxima(), "return_level"),
                        (extremes.PeaksOverThreshold(), "return_period")):
        with pytest.raises(AttributeError, match=r"before fit: call \w+\(…\)\.fit\(x\)"):
            getattr(model, call)(10)
        with pytest.raises(AttributeError, match=r"has no nothing$"):
            _ = model.nothing
