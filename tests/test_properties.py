"""What holds for any input whatever: hypothesis looks for one for which it does not.

Values are of the awkward kinds that tables have: ties, constants, whole numbers, the tiny beside
the huge. An estimator answers, or refuses in words of its own; what it answers obeys its law.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import flowaa
from flowaa import extremes
from flowaa.detection.conformal import benjamini_hochberg, p_values, weighted_p_values
from flowaa.errors import UserError
from flowaa.estimators.tail_p_values import calibrated

settings.register_profile("flowaa", deadline=None, derandomize=True, max_examples=30, database=None,
                          phases=[Phase.explicit, Phase.generate, Phase.shrink])
settings.load_profile("flowaa")

USUAL = st.floats(-1e3, 1e3, width=32)
AWKWARD = st.one_of(USUAL, st.integers(-3, 3).map(float), st.sampled_from(
    [0.0, 1e-30, -1e-30, 1e-9, 1e9, 1e30, -1e30]))
COLUMNS = arrays.arrays(np.float64, st.integers(1, 200), elements=AWKWARD)


def sample(seed: int, n: int, power: float, digits: int, scale: float) -> np.ndarray:
    """n values with tails from bounded to a power law's, rounded, so that some are tied."""
    u = np.random.default_rng(seed).random(n)
    return scale * np.round(u ** -power if power > 0 else u ** -power - u, digits)


SAMPLES = st.builds(sample, st.integers(0, 2**32 - 1), st.integers(60, 400), st.floats(-1.0, 1.5),
                    st.integers(1, 9), st.sampled_from([1e-9, 1.0, 1e9]))
TABLES = arrays.arrays(np.float64, st.tuples(st.integers(1, 25), st.integers(1, 4)),
                       elements=AWKWARD)
SCORES = arrays.arrays(np.float64, st.integers(1, 150), elements=st.floats(-50, 50))
WEIGHTS = arrays.arrays(np.float32, (6, 4), elements=st.floats(-3, 3, width=32)).map(
    lambda w: w + (1 - w.sum(1, keepdims=True)) / 4)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_words(error: Exception) -> None:
    assert 1 <= len(str(error).splitlines()) <= 2


@given(st.one_of(COLUMNS, SAMPLES, SAMPLES), st.sampled_from(["ml", "pwm", "lmoments"]))
def test_a_fitted_tail_is_refused_or_has_increasing_levels_and_their_periods(x, method):
    try:
        tail = extremes.PeaksOverThreshold(method=method).fit(x)
    except UserError as error:
        check_words(error)
        return
    periods = np.geomspace(2 * len(x), 1e6 * len(x), 5)
    levels = np.array([float(tail.return_level(n)) for n in periods])
    assert np.isfinite(levels).all()
    assert (np.diff(levels) >= 0).all()
    assert levels[0] >= tail.threshold_
    distinct = np.diff(levels, prepend=-np.inf) > 1e-6 * np.abs(levels).max()
    found = np.array([float(tail.return_period(level)) for level in levels])
    np.testing.assert_allclose(found[distinct], periods[distinct], rtol=1e-2)


@given(st.one_of(COLUMNS, SAMPLES), st.integers(1, 60))
def test_tail_indices_are_refused_or_numbers(x, k):
    for estimate in (extremes.hill, extremes.moment, extremes.pickands):
        try:
            found = estimate(x, k)
        except UserError as error:
            check_words(error)
        else:
            assert np.isfinite(found.shape)
            assert found.standard_error >= 0


@given(SCORES, SCORES)
def test_p_values_fall_with_the_score_and_never_reach_zero(scores, sample):
    order = np.argsort(scores)
    for p in (p_values(scores, sample), calibrated(scores, sample),
              weighted_p_values(scores, np.ones(len(scores)), sample, np.ones(len(sample)))):
        assert (p > 0).all()
        assert (p <= 1).all()
        assert (np.diff(p[order]) <= 1e-12).all()
    np.testing.assert_allclose(
        weighted_p_values(scores, np.full(len(scores), 2.0), sample, np.full(len(sample), 2.0)),
        p_values(scores, sample))


@given(arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(1e-9, 1)),
       st.floats(0.01, 0.4), st.floats(0.01, 0.4))
def test_discoveries_are_the_smallest_p_values_and_more_where_more_may_be_false(p, one, other):
    few, many = (benjamini_hochberg(p, fdr) for fdr in sorted([one, other]))
    assert (many | ~few).all()
    if many.any() and not many.all():
        assert p[many].max() < p[~many].min()


@given(WEIGHTS)
def test_the_gauge_says_what_is_within_the_simplex(weights):
    found = np.asarray(extremes.gauge(weights))
    np.testing.assert_allclose(found, 4 * (0.25 - weights.min(1)), atol=1e-4)
    distance = np.asarray(extremes.distance_to_simplex(weights))
    assert (distance[found <= 1 - 1e-4] < 1e-3).all()
    assert (distance[found > 1 + 1e-2] > 0).all()


@given(st.floats(1.001, 50.0), st.floats(0.01, 100.0), st.integers(0, 2**31))
def test_draws_beyond_the_simplex_have_the_gauge_asked_for(gauge, concentration, seed):
    drawn = np.asarray(extremes.sample_exterior(
        jax.random.key(seed), 6, 4, gauge=jnp.float32(gauge),
        concentration=jnp.float32(concentration)))
    np.testing.assert_allclose(drawn.sum(1), 1.0, atol=1e-4)
    np.testing.assert_allclose(extremes.gauge(drawn), gauge, rtol=1e-3)


@settings(max_examples=25)
@given(TABLES, st.integers(1, 4))
def test_classical_archetypes_are_refused_or_mixtures_that_explain_more_than_the_mean(x, k):
    try:
        model = flowaa.ArchetypalAnalysis(k, n_init=2, random_state=0).fit(x)
    except ValueError as error:  # a UserError is one
        check_words(error)
        return
    weights = model.transform(x)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    span = np.ptp(x, axis=0).max() + np.abs(x).max()
    assert (model.archetypes_ <= x.max(0) + 1e-5 * span).all()
    assert (model.archetypes_ >= x.min(0) - 1e-5 * span).all()
    left = np.square(x - weights @ model.archetypes_).sum()
    assert left <= np.square(x - x.mean(0)).sum() * (1 + 1e-5) + 1e-9 * span**2


@pytest.mark.slow
@settings(max_examples=12)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 25), st.integers(1, 3)),
                     elements=AWKWARD))
def test_a_detector_refuses_a_table_or_scores_its_rows(x):
    try:
        detector = flowaa.OutlierDetector(max_seconds=2, random_state=0).fit(x)
    except ValueError as error:
        check_words(error)
        return
    assert np.isfinite(detector.score_samples(x)).all()
    p = detector.p_value(x)
    assert ((p > 0) & (p <= 1)).all()
    far = np.full((1, x.shape[1]), 1e40)
    assert detector.p_value(far)[0] <= p.min() + 1e-12
