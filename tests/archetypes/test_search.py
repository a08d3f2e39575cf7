"""The search for the best optimum: distinct starts, exchanges, and what is reported of them."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine

import flowaa
from flowaa.archetypes.classical import coreset, hull, starts
from flowaa.archetypes.classical.alternation import Fits, Round, alternate
from flowaa.archetypes.classical.rows import prepare
from flowaa.archetypes.classical.search import Settings, search

IRIS, WINE = load_iris().data, load_wine().data
LEAST_IRIS = 24.8727  # of hundreds of starts, and of the package `archetypes`


def rows_of(x):
    return prepare(x, np.ones(len(x)), trim=0.0, resistant=False)


@pytest.mark.parametrize(("x", "k", "seed"), [
    (IRIS, 3, 0), (IRIS, 4, 1), (WINE / WINE.std(0), 5, 0),
    (load_diabetes().data[:200], 4, 3)])
def test_a_search_is_never_worse_than_the_best_of_its_own_starts_alone(x, k, seed):
    rows = rows_of(x)
    places = starts.draw_starts(rows, "coreset", k, 3, np.random.default_rng(seed))
    alone = [float(alternate(rows, Fits.before(hull.at_rows(place[None])),
                             Round("squared", 1e-6, 500)).loss[0]) for place in places]
    found = search(rows, Settings(k, n_init=3), np.random.default_rng(seed))
    assert found.fit.loss[0] <= min(alone) * (1.0 + 1e-9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("init", ["coreset", "aa++"])
def test_nor_on_any_table(seed, init):
    rng = np.random.default_rng(seed)
    n, d, k = rng.integers(20, 60), rng.integers(1, 6), int(rng.integers(2, 6))
    x = rng.gamma(0.5, size=(n, d)) if seed % 2 else rng.normal(size=(n, d))
    rows = prepare(x, np.ones(n), trim=0.0, resistant=False, reach=[1.0, 1.2][seed // 4])
    settings = Settings(k, init=init, n_init=4)
    places = starts.draw_starts(rows, init, k, 4, np.random.default_rng(seed))
    alone = [float(alternate(rows, Fits.before(hull.at_rows(place[None])),
                             Round("squared", 1e-6, 500)).loss[0]) for place in places]
    found = search(rows, settings, np.random.default_rng(seed)).fit.loss[0]
    assert found <= min(alone) * (1.0 + 1e-9) + 1e-12 * rows.total


def test_seeds_agree_on_iris():
    fits = [flowaa.ArchetypalAnalysis(3, random_state=seed).fit(IRIS) for seed in range(4)]
    radius = np.sqrt(((IRIS - IRIS.mean(0)) ** 2).sum(1).mean())
    for fitted in fits:
        np.testing.assert_allclose(fitted.rss_, LEAST_IRIS, rtol=1e-4)
        distances = np.linalg.norm(fitted.archetypes_[:, None] - fits[0].archetypes_, axis=-1)
        assert distances.min(1).max() < 0.02 * radius
        assert 0.0 < fitted.agreement_ <= 1.0
    # Two thirds of single starts end there, and the others do not.
    assert 0.3 < np.mean([fitted.agreement_ for fitted in fits]) < 0.95


def test_exchanges_find_what_starts_miss():
    rows, improved = rows_of(IRIS), 0
    for seed in range(4):
        places = starts.draw_starts(rows, "uniform", 5, 3, np.random.default_rng(seed))
        alone = alternate(rows, Fits.before(hull.at_rows(places)), Round("squared", 1e-6, 500))
        found = search(rows, Settings(5, init="uniform", n_init=3), np.random.default_rng(seed))
        improved += bool(found.fit.loss[0] < 0.999 * alone.loss.min())
    assert improved >= 1


def test_runs_that_cannot_win_are_given_up():
    rows = rows_of(IRIS)
    begun = Fits.before(hull.at_rows(
        starts.draw_starts(rows, "uniform", 4, 6, np.random.default_rng(0))))
    free = alternate(rows, begun, Round("squared", 1e-6, 500))
    hopeless = alternate(rows, begun, Round("squared", 1e-6, 500, rival=0.5 * free.loss.min()))
    assert (hopeless.n_rounds < free.n_rounds).all()
    assert not hopeless.stalled.any()
    ended = alternate(rows, begun, Round("squared", 1e-6, 500, rival=2.0 * free.loss.max()))
    np.testing.assert_array_equal(ended.loss, free.loss)


@pytest.mark.parametrize("init", starts.RULES)
def test_starts_are_distinct_sets_of_rows(init):
    rows = rows_of(IRIS)
    places = starts.draw_starts(rows, init, 3, 8, np.random.default_rng(0))
    assert len({frozenset(place) for place in places}) == len(places) >= 1
    assert all(len(set(place)) == 3 for place in places)
    few = starts.draw_starts(rows_of(IRIS[:4]), init, 4, 8, np.random.default_rng(0))
    assert len(few) == 1  # four rows make one set of four


def test_sums_over_a_coreset_are_unbiased():
    rng = np.random.default_rng(0)
    x, weight = rng.gamma(1.0, size=(5_000, 2)), rng.uniform(0.5, 2.0, 5_000)
    sums = []
    for seed in range(20):
        index, of_index = coreset.draw(weight, (x**2).sum(1), 500, np.random.default_rng(seed))
        sums.append([of_index.sum(), *(of_index @ x[index])])
    np.testing.assert_allclose(np.mean(sums, axis=0), [weight.sum(), *(weight @ x)], rtol=0.02)
    # Far rows are over-represented, which the weights make up for.
    assert (x[index] ** 2).sum(1).mean() > 1.3 * (x**2).sum(1).mean()
