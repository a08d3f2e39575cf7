"""What both estimators of tables refuse, in one line that names the column and what to do."""

import numpy as np
import pandas as pd
import pytest

import flowaa
from flowaa.detection.tables.encoding import find_levels, from_codes, to_codes
from flowaa.errors import FlowaaWarning, UserError
from flowaa.flow.architecture import Architecture, Stage

X = np.random.default_rng(0).normal(size=(60, 2))
SMALL = Architecture((Stage("none", 2, 16, 1),), law="spline", mixing="orthogonal", spline_bins=4,
                     scan=True)
MIXED = pd.DataFrame({"height": X[:, 0], "kind": ["oak", "elm", "elm"] * 20})


def density(**parameters):
    return flowaa.NormalizingFlow(**{"architecture": SMALL, "max_seconds": 1, **parameters})


def detector(**parameters):
    return flowaa.OutlierDetector(**{"max_seconds": 0.1, "random_state": 0, **parameters})


@pytest.fixture(scope="module")
def fitted():
    return detector().fit(MIXED)


@pytest.fixture(scope="module")
def small_density():
    return density().fit(X)


def complaint(function, *arguments, **named):
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("values", "words"), [
    ([f"text {i}" for i in range(60)], "too many to be categories"),
    (pd.date_range("2020", periods=60), "holds times"),
    ([1.0, np.inf] * 30, "infinity")],
    ids=["texts", "date", "infinite"])
def test_a_density_names_the_column_that_it_cannot_learn(values, words):
    message = complaint(density().fit, pd.DataFrame({"a": X[:, 0], "b": values}))
    assert "column b " in message or "column b:" in message
    assert words in message


def test_categories_are_of_columns_with_names():
    frame = pd.DataFrame({0: X[:, 0], 1: ["oak", "elm"] * 30})
    assert "column 1 holds categories" in complaint(density().fit, frame)


@pytest.mark.parametrize("make", [density, detector])
def test_names_of_columns_differ(make):
    frame = pd.DataFrame(np.column_stack([X, X[:, 0]]), columns=["a", "b", "a"])
    assert "column a is there more than once" in complaint(make().fit, frame)


@pytest.mark.parametrize("make", [density, detector])
@pytest.mark.parametrize(("x", "words"), [
    (X + 1j, "Complex data not supported"), (X[:, 0], "reshape(-1, 1)")])
def test_scikit_learn_s_complaints_do_not_show_the_table(make, x, words):
    message = complaint(make().fit, x)
    assert words in message
    assert len(message) < 300


def test_a_column_of_numbers_stays_one(fitted):
    message = complaint(fitted.score_samples, MIXED.assign(height="tall"))
    assert "column height does not hold numbers" in message
    assert "more than once" in complaint(
        fitted.score_samples, pd.concat([MIXED, MIXED[["kind"]]], axis=1))


@pytest.mark.parametrize(("values", "words"), [
    (pd.date_range("2020", periods=60), "column b holds times"),
    ([f"row {i}" for i in range(60)], "60 different texts in 60 rows"),
    ([str(value) for value in X[:, 0]], "give numbers as numbers")],
    ids=["date", "name", "number"])
def test_a_detector_refuses_a_category_a_row(values, words):
    assert words in complaint(detector().fit, pd.DataFrame({"a": X[:, 0], "b": values}))


def test_a_fit_that_fails_changes_nothing():
    fitted = detector().fit(MIXED)
    before = fitted.score_samples(MIXED)
    complaint(fitted.fit, MIXED.assign(height=np.inf, other=1.0))
    np.testing.assert_array_equal(fitted.score_samples(MIXED), before)
    fresh = detector()
    complaint(fresh.fit, MIXED.assign(height=np.inf))
    assert vars(fresh) == vars(detector())


@pytest.mark.parametrize("n", [True, 0, 1.5, "3"])
def test_what_is_no_number_of_draws_is_refused(small_density, n):
    assert "n_samples" in complaint(small_density.sample, n)


def test_draws_that_no_memory_holds_are_refused_before_they_are_made(small_density):
    assert "draw them in parts" in complaint(small_density.sample, 10**13)


def test_an_explanation_speaks_of_the_frame_s_categories(fitted):
    new = pd.DataFrame({"height": [40.0, X[0, 0], np.nan], "kind": ["oak", "ash", "elm"]},
                       index=["far", "new", "missing"])
    found = fitted.explain(new)
    for rows in (found.nearest_inlier, found.counterfactual):
        assert list(rows.columns) == ["height", "kind"]
        assert list(rows.index) == ["far", "new", "missing"]
    assert set(found.nearest_inlier["kind"]) <= {"oak", "elm"}
    for row, index in zip(found.nearest_inlier.itertuples(index=False), found.nearest_index,
                          strict=True):
        assert tuple(row) == tuple(MIXED.iloc[index])
    # A row that passes is made of the frame's own values, and scores as it says.
    assert (fitted.decision_function(found.counterfactual) >= 0).all()
    assert found.counterfactual.loc["far", "kind"] == "oak"


def test_codes_become_categories_again_or_the_row_s_own():
    levels = find_levels(MIXED)
    new = pd.DataFrame({"height": [1.0, np.nan, 3.0, 4.0], "kind": ["oak", "elm", "ash", None]})
    codes = to_codes(new, levels)
    assert codes["kind"].tolist()[:3] == [1.0, 0.0, -1.0]
    pd.testing.assert_frame_equal(from_codes(np.asarray(codes, float), new, levels), new)


@pytest.mark.parametrize("make", [density, detector])
@pytest.mark.parametrize("value", [True, 0, -1, np.nan, "60", None])
def test_what_is_no_time_is_refused(make, value):
    assert "max_seconds" in complaint(make(max_seconds=value).fit, X)


@pytest.mark.parametrize("make", [density, detector])
def test_generators_of_numpy_are_random_states(make):
    first, again = (make(random_state=np.random.default_rng(3), max_seconds=1).fit(X)
                    for _ in range(2))
    np.testing.assert_array_equal(first.score_samples(X), again.score_samples(X))


def test_a_share_that_leaves_nothing_to_learn_from_is_refused():
    assert "contamination=0.5 leaves one of 2 rows" in complaint(
        detector(contamination=0.5).fit, X[:2])
    detector(contamination=0.5).fit(X[:3])


def test_a_share_of_no_row_is_said():
    with pytest.warns(FlowaaWarning, match="contamination=1e-09 of 60 rows is no row"):
        detector(contamination=1e-9).fit(X)


@pytest.mark.parametrize("fdr", ["a", None, True, np.nan, 0, 1])
def test_a_rate_that_is_none_is_refused(fitted, fdr):
    assert "fdr" in complaint(fitted.flag, MIXED, fdr=fdr)
