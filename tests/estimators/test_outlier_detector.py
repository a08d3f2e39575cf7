"""The outlier detector among scikit-learn's tools, its alarms, its explanations and its files."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import flowaa
from flowaa.errors import FlowaaWarning

RNG = np.random.default_rng(0)
DRAWN, MIXING = RNG.normal(size=(300, 5)), RNG.normal(size=(5, 5))
ROWS = DRAWN @ MIXING


def detector(**parameters):
    return flowaa.OutlierDetector(**{"max_seconds": 0.5, "random_state": 0, **parameters})


@pytest.fixture(scope="module")
def fitted():
    return detector().fit(ROWS)


@parametrize_with_checks([flowaa.OutlierDetector(max_seconds=0.1)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def rate_of_alarms(n, d, n_new=1_000):
    """Shares of new inliers with p-values up to 1, 5 and 10 %, over tables."""
    shares = []
    for seed in range(3):
        rows = np.random.default_rng(seed).standard_t(5, size=(n + n_new, d))
        p = detector(random_state=seed).fit(rows[:n]).p_value(rows[n:])
        shares.append([(p <= level).mean() for level in (0.01, 0.05, 0.1)])
    return np.mean(shares, 0)


@pytest.mark.parametrize(("n", "d"), [(400, 3), (80, 90)])
def test_false_alarms_come_at_the_chosen_rate(n, d):
    levels = np.array([0.01, 0.05, 0.1])
    # Both the rows that calibrate (n a table, 3 tables) and the new ones are a sample.
    error = np.sqrt(levels * (1 - levels) * (1 / (3 * n) + 1 / 3_000))
    assert (np.abs(rate_of_alarms(n, d) - levels) < 3.5 * error + 0.002).all()


def test_inliers_left_out_with_the_outliers_still_calibrate():
    """Without them p-values of fresh inliers were nine times too often below 1 %."""
    levels = np.array([0.01, 0.05, 0.1])
    shares = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        mixed = np.concatenate([rng.normal(size=(450, 5)), rng.normal(6, 1, size=(50, 5))])
        p = detector(contamination=0.1).fit(mixed).p_value(rng.normal(size=(1_000, 5)))
        shares.append([(p <= level).mean() for level in levels])
    error = np.sqrt(levels * (1 - levels) * (1 / 1_350 + 1 / 3_000))
    assert (np.abs(np.mean(shares, 0) - levels) < 3.5 * error + 0.002).all()


def test_pixels_keep_their_common_unit():
    """A pixel that is hardly ever on is not as telling as one that is on in half of the rows."""
    x, y = load_digits(return_X_y=True)
    threes = np.random.default_rng(0).permutation(x[y == 3])
    train, inliers, outliers = threes[:90], threes[90:], x[y != 3][:300]
    found = detector(random_state=0).fit(train)
    is_out = np.r_[np.zeros(len(inliers)), np.ones(len(outliers))]
    score = -found.score_samples(np.concatenate([inliers, outliers]))
    of_pixels = cdist(np.concatenate([inliers, outliers]), train).min(1)
    assert roc_auc_score(is_out, score) > roc_auc_score(is_out, of_pixels) - 0.01


def test_rows_left_over_by_a_large_table_calibrate():
    rows = RNG.normal(size=(8_000, 2))
    with pytest.warns(FlowaaWarning, match=f"of {len(rows)} rows are drawn"):
        large = detector(max_seconds=0.2).fit(rows)
    assert large.n_rows_ < 1_000
    assert len(large.calibration_) == len(rows) - large.n_rows_
    assert abs((large.p_value(RNG.normal(size=(4_000, 2))) <= 0.05).mean() - 0.05) < 0.015


def test_p_values_go_on_beyond_the_sample_and_return_periods_invert_them(fitted):
    at = ROWS[[np.abs(ROWS).sum(1).argmax()]] * np.array([[1.0], [3.0], [6.0]])
    p = fitted.p_value(at)
    assert p[2] < p[1] < 1 / 301
    np.testing.assert_allclose(fitted.return_period(at) * p, 1.0)


def test_flagged_rows_are_mostly_outliers(fitted):
    inliers = np.random.default_rng(1).permutation(ROWS)[:150] + 1e-3
    rows = np.concatenate([inliers, 12 * RNG.normal(size=(15, 5))])
    flagged = fitted.flag(rows, fdr=0.1)
    assert flagged[150:].mean() > 0.8
    assert flagged[:150].sum() <= 4


def test_alarms_where_new_rows_are_drawn_otherwise_come_at_their_rate(fitted):
    """New rows are those of high first feature, by a stated ratio of densities."""
    random = np.random.default_rng(3)
    inliers = random.normal(size=(1500, 5)) @ MIXING

    def ratio(x):
        return np.exp(x[:, 0] / ROWS[:, 0].std())

    half = len(inliers) // 2
    known, others = inliers[:half], inliers[half:]
    weight = ratio(others)
    new = others[random.choice(len(others), 2000, p=weight / weight.sum())]
    p = fitted.shifted_p_value(new, ratio(new), inliers=known, inlier_weight=ratio(known))
    assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.05)
    # All weights alike: the conformal p-values of those inliers.
    alike = fitted.shifted_p_value(new[:9], np.ones(9), inliers=known,
                                   inlier_weight=np.ones(len(known)))
    calibration = -fitted.score_samples(known)
    expected = [(1 + (calibration >= score).sum()) / (1 + len(known))
                for score in -fitted.score_samples(new[:9])]
    np.testing.assert_allclose(alike, expected)


@pytest.mark.parametrize(("weight", "inlier_weight", "message"), [
    ([1.0], [1.0, 1.0], "weight has shape"), ([1.0, -1.0], [1.0, 1.0], "weight must hold"),
    ([1.0, 1.0], [0.0, 0.0], "inlier_weight is 0 everywhere"),
    ([1.0, np.nan], [1.0, 1.0], "weight: .*NaN"), ([1.0, 1.0], ["a", 1.0], "inlier_weight: "),
    ([1.0, 1.0], [1e308, 1e308], "inlier_weight must hold"),
])
def test_wrong_weights_are_named(fitted, weight, inlier_weight, message):
    with pytest.raises(ValueError, match=message):
        fitted.shifted_p_value(ROWS[:2], weight, inliers=ROWS[2:4], inlier_weight=inlier_weight)


def test_few_rows_that_calibrate_flag_nothing_on_the_word_of_a_fitted_tail():
    """No counted p-value is below 1/121: one far row in 101 is not flagged, fifty in 150 are."""
    few = detector().fit(ROWS[:120])
    one = np.concatenate([ROWS[150:250], [np.full(5, 1e3)]])
    many = np.concatenate([one[:100], 1e3 + RNG.normal(size=(50, 5))])
    assert few.p_value(one)[-1] < 1e-3
    with pytest.warns(FlowaaWarning, match=r"would take 9 of 101 rows, and there are 1;"):
        assert not few.flag(one, fdr=0.1)[-1]
    assert few.flag(many, fdr=0.1)[100:].all()


def test_as_many_training_rows_are_outliers_as_stated():
    outliers = np.random.default_rng(2).normal(size=(30, 5)) * 8
    rows = np.concatenate([ROWS, outliers])
    predicted = detector(contamination=30 / 330).fit_predict(rows)
    assert (predicted == -1).sum() == 30
    assert (predicted[300:] == -1).mean() > 0.8


def test_outliers_among_the_training_rows_hide_no_others():
    random = np.random.default_rng(3)
    rows, new = ROWS[:200], ROWS[200:]
    planted = 4 * random.normal(size=(60, 5)) @ np.diag(ROWS.std(0))
    contaminated = np.concatenate([rows, planted[:22]])
    y = np.arange(len(new) + 38) >= len(new)
    test = np.concatenate([new, planted[22:]])
    clean = roc_auc_score(y, -detector().fit(rows).score_samples(test))
    trimmed = roc_auc_score(y, -detector(contamination=0.1).fit(contaminated).score_samples(test))
    assert trimmed > clean - 0.02


def test_a_group_of_training_outliers_hides_no_others():
    """Its members are one another's neighbours: only leaving them out helps."""
    random = np.random.default_rng(4)
    group = 4 + 0.3 * random.normal(size=(60, 5))
    mixed = np.concatenate([ROWS[:200], group[:22]])
    test = np.concatenate([ROWS[200:], group[22:]])
    scores = -detector(contamination=0.1).fit(mixed).score_samples(test)
    assert roc_auc_score(np.arange(len(test)) >= 100, scores) > 0.95


def test_a_feature_that_never_varied_counts_when_it_does():
    rows = np.column_stack([ROWS, np.full(300, 7.0)])
    constant = detector().fit(rows)
    new = rows[:40] + 1e-3 * RNG.normal(size=(40, 6))
    new[:, 5] = 7.0
    same = constant.score_samples(new)
    new[:, 5] = 7.5
    np.testing.assert_allclose(same - constant.score_samples(new), np.log(301), rtol=1e-6)


def test_missing_values_and_categories_of_a_data_frame(tmp_path):
    random = np.random.default_rng(5)
    kind = random.choice(["oak", "elm"], 200)
    frame = pd.DataFrame({
        "height": np.where(kind == "oak", 20.0, 5.0) + random.normal(size=200),
        "kind": pd.Categorical(kind), "site": random.choice(["north", "south"], 200)})
    frame.loc[::10, "height"] = np.nan
    trees = detector().fit(frame)
    new = pd.DataFrame({"height": [20.0, np.nan, 5.0, 20.0, 20.0],
                        "kind": ["oak", "elm", "oak", "ash", "oak"],
                        "site": ["north", "south", "north", "north", None]})
    scores = trees.score_samples(new)
    assert scores[:2].min() > scores[2:].max()  # a low oak, a new kind, a site never missing
    trees.save(tmp_path / "trees.npz")
    restored = flowaa.OutlierDetector.load(tmp_path / "trees.npz")
    np.testing.assert_array_equal(restored.score_samples(new), scores)
    assert trees.explain(new[2:3]).contributions[0].argmax() in (0, 1)
    with pytest.raises(ValueError, match="infinity"):
        trees.score_samples(new.assign(height=np.inf))


def test_features_that_hardly_ever_vary_raise_no_false_alarms():
    random = np.random.default_rng(6)
    rows = np.column_stack([random.normal(size=(1_200, 2)), random.random((1_200, 60)) < 0.005])
    p = detector().fit(rows[:200]).p_value(rows[200:])
    assert ((rows[:200].std(0) == 0) & (rows[200:].std(0) > 0)).sum() > 10
    assert abs((p <= 0.1).mean() - 0.1) < 0.05


def test_altered_features_explain_best():
    random = np.random.default_rng(4)
    factors = random.normal(size=(500, 4)) @ random.normal(size=(4, 12))
    rows = factors + 0.3 * random.normal(size=factors.shape)
    explained = detector(max_seconds=0.5).fit(rows[:470])
    right = 0
    altered = rows[470:].copy()
    chosen = [random.permutation(12)[:1 + i % 3] for i in range(30)]
    for row, features in zip(altered, chosen, strict=True):
        row[features] += random.choice([-1, 1], len(features)) * 4 * rows.std(0)[features]
    result = explained.explain(altered)
    for contributions, features in zip(result.contributions, chosen, strict=True):
        right += set(np.argsort(-contributions)[:len(features)]) == set(features)
    assert right >= 27
    passes = explained.decision_function(result.counterfactual) >= 0
    assert passes.mean() > 0.9
    assert ((result.counterfactual != altered).sum(1) <= result.n_changed).all()


def test_scores_do_not_depend_on_units_or_on_other_rows(fitted):
    new = RNG.normal(size=(20, 5)) @ RNG.normal(size=(5, 5))
    scaled = detector().fit(ROWS * 1024.0 + 512.0)
    np.testing.assert_allclose(scaled.score_samples(new * 1024.0 + 512.0),
                               fitted.score_samples(new), rtol=0.05)
    np.testing.assert_allclose(fitted.score_samples(new[:3]), fitted.score_samples(new)[:3])


@pytest.mark.parametrize(("n_repeated", "is_known"), [(0, True), (2, True), (30, False)])
def test_equal_rows_are_the_same_row_unless_many_are_repeated(n_repeated, is_known):
    # Rounded, so that rows may be equal by chance.
    rounded = np.round(3 * ROWS)
    rows = np.concatenate([rounded[:270], rounded[:n_repeated]])
    once = rows[n_repeated:270]
    repeating = detector().fit(rows)
    # `calibration_` has the scores of all training rows by fits without them.
    own = np.isin(-repeating.score_samples(once), repeating.calibration_)
    assert own.mean() == 1.0 if is_known else own.mean() < 0.5


@pytest.mark.parametrize("unit", [2.0**1000, 2.0**-1000])
def test_units_at_the_ends_of_float64_change_nothing(fitted, unit):
    rows = np.column_stack([ROWS, np.full(300, 7.0)])
    new = np.column_stack([2 * ROWS[:9], np.linspace(7.0, 8.0, 9)])
    ours, scaled = detector().fit(rows), detector().fit(rows * unit)
    np.testing.assert_array_equal(scaled.score_samples(new * unit), ours.score_samples(new))
    here, there = ours.explain(new[:2]), scaled.explain(new[:2] * unit)
    np.testing.assert_array_equal(there.contributions, here.contributions)
    np.testing.assert_array_equal(there.counterfactual, here.counterfactual * unit)


@pytest.mark.parametrize("value", [1e5, 1e300, 1.7e308])
@pytest.mark.parametrize("contamination", ["auto", 0.05])
def test_one_value_does_not_set_the_scale(value, contamination):
    rows = np.random.default_rng(0).normal(size=(120, 2))
    rows[3, 0] = value
    marred = detector(contamination=contamination).fit(rows)
    # Fifty deviations off, in a column that has another value still further off.
    assert marred.predict([[50.0, 50.0], [50.0, 0.0], [value, 0.0], [0.1, 0.1]]).tolist() == [
        -1, -1, -1, 1]


@pytest.mark.parametrize("parameters", [{}, {"contamination": 0.1}])
def test_saved_and_restored_to_the_same_scores(parameters, tmp_path):
    saved = detector(max_seconds=0.2, **parameters).fit(ROWS)
    saved.save(tmp_path / "detector.npz")
    with np.load(tmp_path / "detector.npz", allow_pickle=False) as file:
        assert set(file) == {"settings", "rows", "calibration"}
    new = RNG.normal(size=(30, 5))
    for restored in (flowaa.OutlierDetector.load(tmp_path / "detector.npz"),
                     pickle.loads(pickle.dumps(saved))):
        np.testing.assert_array_equal(restored.score_samples(new), saved.score_samples(new))
        np.testing.assert_array_equal(restored.predict(new), saved.predict(new))
        np.testing.assert_array_equal(restored.p_value(new), saved.p_value(new))


def test_a_damaged_file_is_refused_in_a_line(tmp_path):
    path = tmp_path / "detector.npz"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"detector\.npz: the detector is damaged") as caught:
        flowaa.OutlierDetector.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [
    ("contamination", 0.6), ("contamination", 0), ("contamination", "much"),
    ("max_seconds", 0), ("max_seconds", "long"), ("max_seconds", float("nan")),
])
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=name) as caught:
        detector(**{name: value}).fit(ROWS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 1), (20, 1), (20, 3), (25, 300)])
def test_small_and_wide_tables(shape):
    rows = RNG.normal(size=shape)
    small = detector(max_seconds=0.2).fit(rows)
    scores = small.score_samples(np.concatenate([rows, 50 + rows]))
    assert np.isfinite(scores).all()
    if len(rows) >= 20:
        assert scores[:len(rows)].min() > scores[len(rows):].max()
    clone(small).fit(np.ones((20, 3))).score_samples(np.ones((2, 3)))


def test_copies_of_rows_are_left_out_and_said():
    rows = np.random.default_rng(0).standard_normal((80, 3))
    with pytest.warns(FlowaaWarning, match="80 of 160 rows are copies"):
        model = detector().fit(np.repeat(rows, 2, axis=0))
    fresh = np.random.default_rng(1).standard_normal((400, 3))
    assert (model.predict(fresh) == -1).mean() < 0.15
    # Counts may be equal by chance: no row is left out.
    counts = np.random.default_rng(2).poisson(1.0, (200, 2)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert detector().fit(counts).n_rows_ == 200


def test_few_rows_promise_no_small_p_values():
    model = detector().fit(
        np.random.default_rng(0).standard_normal((15, 3)))
    np.testing.assert_allclose(model.p_value(np.full((1, 3), 50.0)), 1 / 16)
