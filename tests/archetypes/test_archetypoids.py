"""Archetypoids against every set of rows there is, and against every single swap."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_iris

from flowaa.archetypes import find_archetypoids
from flowaa.archetypes.classical import archetypoids
from flowaa.archetypes.classical.rows import prepare
from flowaa.archetypes.classical.search import Settings
from flowaa.errors import UserError
from tests.archetypes import oracles

IRIS = load_iris().data
QUICK = Settings(1, n_init=2)


@pytest.mark.parametrize("seed", range(4))
def test_of_few_rows_the_best_set(seed):
    x = np.random.default_rng(seed).normal(size=(14, 2))
    found = find_archetypoids(x, 3, settings=QUICK)
    least = min(oracles.rss(x, x[list(some)]) for some in itertools.combinations(range(14), 3))
    np.testing.assert_allclose(found.rss, least, rtol=1e-6)
    np.testing.assert_allclose(oracles.rss(x, x[found.rows]), found.rss, rtol=1e-6)
    np.testing.assert_allclose(
        found.explained_variance, 1.0 - least / ((x - x.mean(0)) ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(
        found.weights @ x[found.rows], oracles.best_weights(x, x[found.rows]) @ x[found.rows],
        atol=1e-6)
    assert (np.diff(found.weights.sum(0)) <= 1e-9).all()  # by decreasing share


def test_no_swap_improves_them():
    x = IRIS[::3]
    found = find_archetypoids(x, 3, settings=QUICK)
    for place, row in itertools.product(range(3), range(len(x))):
        swapped = found.rows.copy()
        swapped[place] = row
        assert oracles.rss(x, x[swapped]) > (1.0 - 1e-6) * found.rss


def test_swaps_from_anywhere_end_where_none_improves():
    x = np.random.default_rng(5).normal(size=(16, 2))
    rows = prepare(x, np.ones(16), trim=0.0, resistant=False)
    middle = np.argsort((rows.at(np.arange(16)) ** 2).sum(1))[:3]  # the worst there are
    picks, mixing = archetypoids._swap(rows, middle)
    least = oracles.rss(rows.x, rows.x[picks])
    np.testing.assert_allclose(rows.frame.sum_of_squares(mixing.loss[0]), least, rtol=1e-6)
    for place, row in itertools.product(range(3), range(16)):
        swapped = picks.copy()
        swapped[place] = row
        assert oracles.rss(rows.x, rows.x[swapped]) > (1.0 - 1e-6) * least


def test_iris_as_well_as_the_package_archetypes():
    """Its `ADA`, with five starts, ends at 30.618345."""
    found = find_archetypoids(IRIS, 3)
    assert found.rss <= 30.6184
    assert len(set(found.rows)) == 3


def test_many_rows_are_tried_by_their_promise(monkeypatch):
    every = find_archetypoids(IRIS, 3, settings=QUICK)
    monkeypatch.setattr(archetypoids, "_ALL_ROWS", 10)
    monkeypatch.setattr(archetypoids, "_MOST_PROMISING", 8)
    monkeypatch.setattr(archetypoids, "_AT_ONCE", 2_000)
    promising = find_archetypoids(IRIS, 3, settings=QUICK)
    assert every.rss <= promising.rss * (1.0 + 1e-9)
    assert promising.rss < 1.05 * every.rss


def test_trimmed_rows_are_no_archetypoids():
    x = np.concatenate([IRIS, [[40.0, 40.0, 40.0, 40.0]]])
    assert 150 in find_archetypoids(x, 3, settings=QUICK).rows
    trimmed = Settings(1, n_init=2, trim=0.02)
    assert 150 not in find_archetypoids(x, 3, settings=trimmed).rows


def test_float32_rows_and_repeated_ones():
    x = np.repeat(IRIS[:30:3], 2, axis=0).astype(np.float32)
    found = find_archetypoids(x, 2, settings=QUICK)
    assert found.weights.dtype == np.float32
    assert found.weights.shape == (20, 2)
    np.testing.assert_allclose(found.weights.sum(1), 1.0, atol=1e-6)


@pytest.mark.parametrize(("given", "said"), [
    ({"x": [[np.nan]]}, "finite rows"), ({"n_archetypes": 0}, "n_archetypes is 0"),
    ({"n_archetypes": 2.0}, "n_archetypes is 2.0"), ({"n_archetypes": 151}, "different rows"),
    ({"seed": -1}, "seed is -1"), ({"settings": 3}, "settings is 3"),
    ({"settings": Settings(1, loss="huber")}, "huber"),
    ({"settings": Settings(1, delta=0.1)}, "delta=0.1"),
    ({"settings": Settings(1, init="no")}, "init='no'"),
])
def test_arguments(given, said):
    with pytest.raises(UserError, match=said) as caught:
        find_archetypoids(**{"x": IRIS, "n_archetypes": 3, **given})
    assert "\n" not in str(caught.value)
