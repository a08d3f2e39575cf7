"""Whole fits: starts, weights, robust losses, trimming, scales, streams, and what is compiled."""

import numpy as np
import pytest

import flowaa
from flowaa.archetypes.classical.coreset import CAPACITY
from flowaa.archetypes.classical.search import INITS
from tests.archetypes import oracles

CORNERS = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [0.0, 4.0, -1.0]])


def mixtures(n: int, seed: int = 0) -> np.ndarray:
    """Mixtures of three corners, a little noise, and the corners themselves."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(3, 0.7), n) @ CORNERS + 0.02 * rng.normal(size=(n, 3))
    return np.concatenate([CORNERS, rows[3:]]).astype(np.float32)


ROWS = mixtures(240)


def fit(x, n_archetypes=3, *, sample_weight=None, n_init=4, **parameters):
    return flowaa.ArchetypalAnalysis(
        n_archetypes, random_state=0, n_init=n_init, **parameters).fit(
        x, sample_weight=sample_weight)


def distance_from_corners(archetypes: np.ndarray) -> float:
    """Of the corner that is furthest from its nearest archetype."""
    return np.linalg.norm(archetypes[:, None] - CORNERS, axis=-1).min(0).max()


def test_corners_that_are_data_are_found():
    fitted = fit(ROWS)
    assert distance_from_corners(fitted.archetypes_) < 0.1
    assert oracles.distance_from_hull(fitted.archetypes_.astype(np.float64), ROWS) < 1e-5
    np.testing.assert_allclose(fitted.weights_.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(fitted.data_weights_.sum(1), 1, atol=1e-6)
    assert min(fitted.weights_.min(), fitted.data_weights_.min()) >= 0.0
    # New rows get the weights that an exact solver gives them.
    new = mixtures(100, seed=1)
    archetypes = fitted.archetypes_.astype(np.float64)
    found = fitted.transform(new) @ archetypes
    np.testing.assert_allclose(
        found, oracles.best_weights(new, archetypes) @ archetypes, atol=2e-3)


@pytest.mark.parametrize("init", INITS)
def test_every_start_leads_to_the_same_fit(init):
    fitted = fit(ROWS, init=init)
    np.testing.assert_allclose(fitted.rss_, fit(ROWS).rss_, rtol=1e-3)
    assert fitted.converged_


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1e2, 1e4])
@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_units_do_not_matter(scale, shift):
    plain = fit(ROWS)
    scaled = fit(np.float32(scale) * (ROWS + np.float32(shift)))
    np.testing.assert_allclose(scaled.rss_ / scale**2, plain.rss_, rtol=1e-3)
    np.testing.assert_allclose(scaled.archetypes_ / scale - shift, plain.archetypes_, atol=2e-2)
    np.testing.assert_allclose(scaled.explained_variance_, plain.explained_variance_, rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_a_row_of_weight_two_is_the_row_twice(loss):
    counts = np.random.default_rng(0).integers(0, 3, len(ROWS))
    weighted = fit(ROWS, sample_weight=counts, loss=loss)
    repeated = fit(np.repeat(ROWS, counts, axis=0), loss=loss)
    np.testing.assert_allclose(weighted.archetypes_, repeated.archetypes_, atol=1e-5)
    np.testing.assert_allclose(weighted.rss_, repeated.rss_, rtol=1e-5)
    np.testing.assert_allclose(
        np.repeat(weighted.weights_, counts, axis=0), repeated.weights_, atol=1e-5)
    assert not weighted.data_weights_[:, counts == 0].any()


@pytest.mark.parametrize("loss", ["huber", "bisquare"])
def test_outliers_do_not_move_a_robust_fit_weighted_or_not(loss):
    outliers = np.full((3, 3), 40.0, np.float32) * [[1], [-1], [2]]
    x = np.concatenate([ROWS, outliers]).astype(np.float32)
    weight = np.append(np.random.default_rng(0).uniform(0.5, 2.0, len(ROWS)), [1.0, 2.0, 1.0])
    squared = fit(x)  # badly conditioned, and moved: what a robust fit is for
    assert squared.converged_
    assert distance_from_corners(squared.archetypes_) > 1.0
    for sample_weight in (None, weight):
        fitted = fit(x, loss=loss, sample_weight=sample_weight)
        assert distance_from_corners(fitted.archetypes_) < 0.15
        assert not fitted.data_weights_[:, -3:].any()


def test_weights_and_a_robust_loss_act_together():
    """A cluster of little weight is ignored, and outliers are ignored as well."""
    cluster = 3.0 + 0.01 * np.random.default_rng(1).normal(size=(200, 3))
    outlier = np.full((1, 3), 60.0)
    x = np.concatenate([ROWS, cluster, outlier]).astype(np.float32)
    weight = np.concatenate([np.ones(len(ROWS)), np.full(200, 1e-6), [1.0]])
    fitted = fit(x, loss="bisquare", sample_weight=weight)
    assert distance_from_corners(fitted.archetypes_) < 0.15
    assert distance_from_corners(fit(x, loss="bisquare").archetypes_) > 0.3


def test_trimmed_archetypes_of_gaussian_data_stay_where_they_are():
    """Untrimmed, they drift outwards as rows are added."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 4)).astype(np.float32)

    def norm(n: int, trim: float) -> float:
        fitted = fit(x[:n], 5, trim=trim, tol=1e-4, n_init=1)
        return float(np.linalg.norm(fitted.archetypes_, axis=1).mean())

    norms = {trim: [norm(n, trim) for n in (2_000, 40_000)] for trim in (0.0, 0.1)}
    assert norms[0.0][1] > 1.1 * norms[0.0][0]
    np.testing.assert_allclose(norms[0.1][1], norms[0.1][0], rtol=0.05)


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_archetypes_beyond_the_hull(loss):
    """By `delta` of it and no more, as good as the oracle's, and nearer to corners without rows."""
    rng = np.random.default_rng(0)
    x = 5.0 + rng.dirichlet(np.full(3, 2.0), 40) @ CORNERS[:, :2]
    plain, relaxed = fit(x, loss=loss), fit(x, loss=loss, delta=0.2)
    if loss == "squared":
        least = oracles.archetypal_analysis(x, 3, n_starts=3, n_rounds=40, delta=0.2)
        assert relaxed.rss_ <= (1.0 + 1e-3) * least
        shrunk = x.mean(0) + (relaxed.archetypes_ - x.mean(0)) / 1.2
        np.testing.assert_allclose(relaxed.data_weights_ @ x, shrunk, atol=1e-6)
        assert oracles.distance_from_hull(shrunk, x) < 1e-5
    assert relaxed.rss_ < 0.5 * plain.rss_
    assert relaxed.gap_ < 0.1
    truth = 5.0 + CORNERS[:, :2]
    far = [np.linalg.norm(one.archetypes_[:, None] - truth, axis=-1).min(0).max()
           for one in (plain, relaxed)]
    assert far[1] < 0.8 * far[0]
    exact = fit(x, loss=loss, delta=0.3)  # nothing is left, of which a share could be gained
    assert exact.rss_ < 1e-9
    assert exact.converged_


def test_many_rows_are_fitted_as_well_as_few():
    """Above 4096 rows, blocks and a coreset come in; the certificate is over all rows."""
    x = mixtures(10_000)
    fitted = fit(x)
    assert fitted.weights_.shape == (10_000, 3)
    assert distance_from_corners(fitted.archetypes_) < 0.1
    assert fitted.gap_ < 1e-2
    residuals = x - fitted.weights_ @ fitted.archetypes_
    np.testing.assert_allclose(fitted.rss_, (residuals**2).sum(), rtol=1e-4)
    np.testing.assert_allclose(fitted.data_weights_ @ x, fitted.archetypes_, atol=1e-4)
    np.testing.assert_allclose(fitted.weights_, fitted.transform(x), atol=2e-2)


def test_an_archetype_may_be_made_of_many_rows():
    """In 150 dimensions, about ninety noisy rows make up an archetype."""
    rng = np.random.default_rng(1)
    x = rng.dirichlet(np.full(2, 0.2), 1_500) @ rng.normal(size=(2, 150))
    fitted = fit((x + 0.3 * rng.normal(size=x.shape)).astype(np.float32), 2, n_init=2)
    assert (fitted.data_weights_ > 1e-6).sum(1).max() > 64
    assert fitted.gap_ < 1e-3


def test_a_stream_is_fitted_like_the_whole():
    x = mixtures(12_000, seed=2)
    streamed = flowaa.ArchetypalAnalysis(3, n_init=1, random_state=0)
    for batch in np.array_split(x, 5):
        streamed.partial_fit(batch)
    whole = fit(x)
    assert streamed.n_samples_seen_ == len(x)
    assert len(streamed.summary_rows_) <= CAPACITY
    assert distance_from_corners(streamed.archetypes_) < 0.1
    assert streamed.score(x) > whole.score(x) - 1e-3
    np.testing.assert_allclose(
        streamed.data_weights_ @ streamed.summary_rows_, streamed.archetypes_, atol=1e-4)
