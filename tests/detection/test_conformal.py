"""p-values, false discoveries and the tail beyond a sample, against counts and known laws."""

import numpy as np
import pytest
from scipy import stats

from flowaa.detection.conformal import benjamini_hochberg, p_values, weighted_p_values
from flowaa.detection.tables.tail_probability import fit_tail_probability
from flowaa.estimators.tail_p_values import calibrated, fit_tail

RNG = np.random.default_rng(0)


def test_p_values_count_calibration_rows_at_least_as_large():
    calibration, scores = RNG.integers(0, 6, 50).astype(float), np.arange(-1.0, 8.0)
    counted = [(1 + sum(c >= s for c in calibration)) / 51 for s in scores]
    np.testing.assert_allclose(p_values(scores, calibration), counted)


def test_p_values_hold_their_level_however_few_rows_calibrate():
    drawn = RNG.normal(size=(20_000, 20))
    p = np.array([p_values(row[:1], row[1:])[0] for row in drawn])
    for level in (0.05, 0.1, 0.5):  # multiples of 1/20, where the level is met exactly
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / len(p))


def test_weighted_p_values_of_one_weight_are_the_others():
    random = np.random.default_rng(0)
    scores, calibration = random.integers(0, 9, 40) * 1.0, random.integers(0, 9, 30) * 1.0
    np.testing.assert_allclose(
        weighted_p_values(scores, np.full(40, 3.0), calibration, np.full(30, 3.0)),
        p_values(scores, calibration))


def test_weighted_p_values_are_the_sums_of_their_weights():
    found = weighted_p_values(
        np.array([2.0, 5.0]), np.array([0.5, 2.0]), np.array([3.0, 1.0, 2.0]),
        np.array([4.0, 1.0, 3.0]))
    np.testing.assert_allclose(found, [(0.5 + 4 + 3) / 8.5, 2 / 10])


def test_weighted_p_values_hold_their_level_where_the_law_has_shifted():
    """Scores rise with x; new x are N(1, 1) where calibrating ones were N(0, 1): w = exp(x)."""
    random = np.random.default_rng(0)
    alarms = {"weighted": 0.0, "counted": 0.0}
    for _ in range(200):
        known, new = random.normal(size=300), random.normal(1.0, size=100)
        score_known, score_new = (x + 0.3 * random.normal(size=len(x)) for x in (known, new))
        p = weighted_p_values(score_new, np.exp(new), score_known, np.exp(known))
        alarms["weighted"] += (p <= 0.1).mean() / 200
        alarms["counted"] += (p_values(score_new, score_known) <= 0.1).mean() / 200
    assert 0.05 < alarms["weighted"] <= 0.105
    assert alarms["counted"] > 0.3


def test_false_discoveries_are_scipys():
    for _ in range(50):
        p = RNG.uniform(size=30) ** 3
        adjusted = stats.false_discovery_control(p)
        np.testing.assert_array_equal(benjamini_hochberg(p, 0.1), adjusted <= 0.1)


@pytest.mark.parametrize("fdr", [0.0, 1.0, -1])
def test_a_rate_out_of_range_is_refused(fdr):
    with pytest.raises(ValueError, match="fdr"):
        benjamini_hochberg(np.array([0.5]), fdr)


@pytest.mark.parametrize("law", [stats.expon(), stats.genpareto(0.3)])
def test_p_values_far_beyond_the_sample_are_the_laws(law):
    sample = law.rvs(20_000, random_state=1)
    tail = fit_tail(sample)
    far = law.isf(np.array([1e-4, 1e-5]))
    ratio = tail.refine(far, p_values(far, sample)) / law.sf(far)
    assert (np.abs(np.log10(ratio)) < 0.5).all()


def test_the_law_of_the_tail_begins_where_counting_ends():
    sample = RNG.normal(size=500)
    tail = fit_tail(sample)
    just_beyond = np.array([np.nextafter(tail.threshold, np.inf)])
    counted = p_values(just_beyond, sample)
    np.testing.assert_allclose(tail.refine(just_beyond, counted), counted, rtol=1e-9)


@pytest.mark.parametrize("far", [1e8, 1e30])
def test_one_score_far_beyond_leaves_p_values(far):
    sample = np.r_[RNG.normal(size=1000), far]
    p = calibrated(np.array([0.0, 3.0, 10 * far]), sample)
    assert p[0] > 0.3
    assert 1e-3 < p[1] < 0.1
    assert 0 < p[2] < 1e-3


def test_p_values_beyond_the_end_of_a_bounded_law_are_exponential():
    sample = np.sort(RNG.uniform(size=2_000))
    mean_excess = (sample[-200:] - sample[-201]).mean()
    scores = np.array([1.1, 1.1 + mean_excess, 1.1 + 2 * mean_excess])
    p = fit_tail(sample).refine(scores, p_values(scores, sample))
    np.testing.assert_allclose(p[1:] / p[:-1], np.exp(-1))
    assert p[0] == pytest.approx(0.1 * np.exp(-(1.1 - sample[-201]) / mean_excess), rel=0.01)


def test_evidence_is_the_log_of_the_chance_whatever_the_unit():
    sample = RNG.exponential(size=4_000)
    at = np.array([0.5, 2.0, 6.0, 20.0])  # −log p of an exponential law is the value itself
    for unit in (1e-9, 1.0, 1e9):
        evidence = fit_tail_probability(unit * sample).minus_log(unit * at)
        np.testing.assert_allclose(evidence, at, rtol=0.15)


def test_evidence_of_equal_scores_is_finite_and_increases():
    tail = fit_tail_probability(np.zeros(30))
    evidence = tail.minus_log(np.array([-1.0, 0.0, 1.0, 2.0]))
    assert np.isfinite(evidence).all()
    assert (np.diff(evidence) >= 0).all()
    assert evidence[-1] > evidence[1]
