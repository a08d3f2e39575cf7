"""The estimator among scikit-learn's tools, on every kind of input, and its messages."""

import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import flowaa
from flowaa.errors import FlowaaWarning

CORNERS = np.array([[0.0, 0.0, 1.0], [4.0, 0.0, 0.0], [0.0, 3.0, 2.0]])
RNG = np.random.default_rng(0)
ROWS = RNG.dirichlet(np.full(3, 0.5), 100) @ CORNERS + 0.02 * RNG.normal(size=(100, 3))
N_ARCHETYPES = 3


def estimator(**parameters):
    return flowaa.ArchetypalAnalysis(N_ARCHETYPES, random_state=0, **parameters)


@parametrize_with_checks([flowaa.ArchetypalAnalysis()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_in_a_pipeline_and_a_grid_search():
    pipeline = make_pipeline(StandardScaler(), estimator())
    weights = pipeline.fit_transform(ROWS)
    np.testing.assert_allclose(weights, pipeline.transform(ROWS), atol=1e-4)
    restored = pipeline.inverse_transform(weights)
    assert np.abs(restored - ROWS).max() < 0.1
    search = GridSearchCV(pipeline, {"archetypalanalysis__n_archetypes": [2, 3]}, cv=2).fit(ROWS)
    assert search.best_params_ == {"archetypalanalysis__n_archetypes": 3}
    assert search.best_score_ > 0.99


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_jax_and_pandas_alike(dtype):
    x = ROWS.astype(dtype)
    fitted = estimator().fit(x)
    for name in ("archetypes_", "weights_", "data_weights_"):
        assert getattr(fitted, name).dtype == dtype
        assert isinstance(getattr(fitted, name), np.ndarray)
    with jax.enable_x64(dtype == np.float64):
        of_jax = estimator().fit(jnp.asarray(x))
    np.testing.assert_array_equal(of_jax.archetypes_, fitted.archetypes_)
    frame = pd.DataFrame(x, columns=["length", "width", "height"])
    of_pandas = estimator().set_output(transform="pandas").fit(frame)
    np.testing.assert_array_equal(of_pandas.archetypes_, fitted.archetypes_)
    assert list(of_pandas.feature_names_in_) == list(frame.columns)
    weights = of_pandas.transform(frame)
    assert list(weights.columns) == [f"archetypalanalysis{i}" for i in range(3)]
    assert (fitted.get_feature_names_out() == weights.columns).all()


def test_attributes_say_what_they_claim():
    fitted = estimator().fit(ROWS)
    residuals = ROWS - fitted.weights_ @ fitted.archetypes_
    np.testing.assert_allclose(fitted.rss_, (residuals**2).sum(), rtol=1e-6)
    total = ((ROWS - ROWS.mean(0)) ** 2).sum()
    np.testing.assert_allclose(fitted.explained_variance_, 1 - fitted.rss_ / total, rtol=1e-6)
    np.testing.assert_allclose(fitted.score(ROWS), fitted.explained_variance_, rtol=1e-4)
    np.testing.assert_allclose(fitted.data_weights_ @ ROWS, fitted.archetypes_, atol=1e-9)
    shares = fitted.weights_.sum(0)
    assert (np.diff(shares) <= 0).all()  # by decreasing share
    assert fitted.converged_
    assert 1 <= fitted.n_iter_ <= fitted.max_iter


def test_a_fit_cut_short_says_so():
    with pytest.warns(ConvergenceWarning, match="max_iter=1 rounds: raise max_iter or tol"):
        fitted = estimator(max_iter=1, n_init=1).fit(ROWS)
    assert not fitted.converged_


def test_converged_means_that_the_certificate_is_small_too():
    with pytest.warns(ConvergenceWarning, match="gap_ of .*: lower tol"):
        fitted = estimator(tol=0.9, n_init=1, init="uniform").fit(ROWS)
    assert fitted.gap_ > 0.1
    assert not fitted.converged_


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_numbers_whose_squares_no_float_holds(scale):
    fitted = estimator().fit(ROWS * scale)
    assert fitted.converged_
    assert fitted.gap_ < 0.1
    np.testing.assert_allclose(fitted.archetypes_ / scale, estimator().fit(ROWS).archetypes_,
                               atol=1e-6)
    np.testing.assert_allclose(fitted.score(ROWS * scale), fitted.explained_variance_, rtol=1e-6)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_random_states_of_numpy(make):
    def starts(seed: int) -> np.ndarray:
        fitted = flowaa.ArchetypalAnalysis(
            2, n_init=1, init="uniform", tol=0.5, max_iter=2, random_state=make(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return fitted.fit(ROWS).archetypes_

    np.testing.assert_array_equal(starts(0), starts(0))
    assert any((starts(0) != starts(seed)).any() for seed in range(1, 4))


def test_a_first_batch_may_be_smaller_than_the_number_of_archetypes():
    streamed = estimator()
    streamed.partial_fit(ROWS[:2])
    assert streamed.n_samples_seen_ == 2
    with pytest.raises(NotFittedError):
        streamed.transform(ROWS)
    streamed.partial_fit(ROWS[2:])
    np.testing.assert_allclose(streamed.rss_, estimator().fit(ROWS).rss_, rtol=1e-4)


@pytest.mark.parametrize("n_rows", [60, 4200])
def test_a_stream_goes_on_from_a_fit(n_rows):
    """The corners are among the first rows, and the rows after them are not."""
    rng = np.random.default_rng(5)
    first = np.concatenate([CORNERS, rng.dirichlet(np.full(3, 5.0), n_rows - 3) @ CORNERS])
    fitted = estimator(n_init=2).fit(first)
    fitted.partial_fit(rng.dirichlet(np.full(3, 5.0), 50) @ CORNERS)
    assert fitted.n_samples_seen_ == n_rows + 50
    distances = np.linalg.norm(fitted.archetypes_[:, None] - CORNERS, axis=-1)
    assert distances.min(0).max() < 0.2


def test_a_score_counts_rows_by_their_weights():
    fitted = estimator(n_init=1).fit(ROWS)
    other = np.concatenate([ROWS, ROWS[:10] + 3.0])
    weight = np.random.default_rng(1).integers(0, 4, len(other))
    repeated = np.repeat(other, weight, axis=0)
    np.testing.assert_allclose(
        fitted.score(other, sample_weight=weight), fitted.score(repeated), rtol=1e-9)
    assert abs(fitted.score(other) - fitted.score(repeated)) > 1e-3


def test_a_first_fit_does_not_wait_for_jax():
    script = ("import sys, flowaa; flowaa.ArchetypalAnalysis(2).fit([[0.0, 1.0], [1.0, 0.0]]); "
              "print('jax' in sys.modules)")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("solver", ["pcha", "frank_wolfe"])
def test_earlier_solvers_are_the_exact_one_and_say_so(solver):
    with pytest.warns(UserWarning, match=f"{solver}.*no longer"):
        fitted = estimator(solver=solver, n_init=1).fit(ROWS)
    np.testing.assert_array_equal(fitted.archetypes_, estimator(n_init=1).fit(ROWS).archetypes_)


def one_line(call, kind=ValueError) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(("parameters", "words"), [
    ({"n_archetypes": 0}, "n_archetypes=0"),
    ({"n_archetypes": 2.5}, "n_archetypes=2.5"),
    ({"n_archetypes": 101}, "n_samples=100"),
    ({"n_init": 0}, "n_init=0"),
    ({"max_iter": 0}, "max_iter=0"),
    ({"tol": -1.0}, "tol=-1.0"),
    ({"tol": "small"}, "tol='small'"),
    ({"trim": 1.0}, "trim=1.0"),
    ({"solver": "simplex"}, "solver='simplex': choose one of"),
    ({"init": "kmeans"}, "init='kmeans': choose one of"),
    ({"loss": "l1"}, "loss='l1': choose one of"),
])
def test_parameters_that_cannot_be(parameters, words):
    assert words in one_line(lambda: clone(estimator()).set_params(**parameters).fit(ROWS))


def with_value(value: float) -> np.ndarray:
    rows = ROWS.copy()
    rows[7, 1] = value
    return rows


@pytest.mark.parametrize(("rows", "words"), [
    (with_value(np.nan), "NaN"),
    (with_value(np.inf), "infinity"),
    (np.zeros((0, 3)), "0 sample"),
    (np.zeros((3, 0)), "0 feature"),
    ([["a", "b"], ["c", "d"], ["e", "f"]], "could not convert string to float"),
    (np.arange(5.0), "Reshape"),
])
def test_data_that_cannot_be(rows, words):
    with pytest.raises(ValueError, match=words):
        estimator().fit(rows)


@pytest.mark.parametrize(("rows", "n_different"), [
    (np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, 0), 2), (np.ones((20, 2)), 1)])
def test_repeated_archetypes_are_told(rows, n_different):
    with pytest.warns(FlowaaWarning, match=f"only {n_different} of 3 archetypes differ"):
        flowaa.ArchetypalAnalysis(3, n_init=2, random_state=0).fit(rows)


def test_other_calls_that_cannot_be():
    fitted = estimator().fit(ROWS)
    assert "features" in one_line(lambda: fitted.transform(ROWS[:, :2]))
    assert "give one weight for each" in one_line(lambda: fitted.inverse_transform(ROWS[:, :2]))
    assert "not fitted" in one_line(lambda: estimator().transform(ROWS), NotFittedError)
    one_line(lambda: estimator().fit(ROWS, sample_weight=np.ones(99)))
    assert "at least one" in one_line(lambda: estimator().fit(ROWS, sample_weight=np.zeros(100)))
    one_line(lambda: estimator().fit(ROWS, sample_weight=-np.ones(100)))


@pytest.mark.parametrize("rows", [
    np.full((20, 3), 7.0),  # one point
    np.repeat(CORNERS, 5, axis=0),  # as many distinct rows as archetypes
    np.repeat(CORNERS[:2], 5, axis=0),  # fewer
    np.concatenate([ROWS, np.full((100, 1), 3.0)], axis=1),  # a constant column
    ROWS[:, :1],  # one feature
    CORNERS,  # as many rows as archetypes
], ids=["one_point", "three_points", "two_points", "constant_column", "one_feature", "few_rows"])
def test_degenerate_data_has_a_sensible_fit(rows):
    fitted = estimator().fit(rows)
    assert np.isfinite(fitted.archetypes_).all()
    assert fitted.explained_variance_ > 0.99
    np.testing.assert_allclose(fitted.weights_.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(fitted.transform(rows) @ fitted.archetypes_, rows, atol=0.2)


def test_one_archetype_is_the_mean_and_one_row_is_itself():
    one = flowaa.ArchetypalAnalysis(1, random_state=0)
    np.testing.assert_allclose(one.fit(ROWS).archetypes_[0], ROWS.mean(0), atol=1e-3)
    np.testing.assert_allclose(one.fit(ROWS[:1]).archetypes_, ROWS[:1])


def test_one_archetype_is_the_weighted_mean():
    weight = np.random.default_rng(2).uniform(0.0, 3.0, len(ROWS))
    fitted = flowaa.ArchetypalAnalysis(1, random_state=0).fit(ROWS, sample_weight=weight)
    mean = weight @ ROWS / weight.sum()
    assert np.abs(mean - ROWS.mean(0)).max() > 0.05
    np.testing.assert_allclose(fitted.archetypes_[0], mean, atol=1e-3)
    np.testing.assert_allclose(fitted.explained_variance_, 0.0, atol=1e-4)
