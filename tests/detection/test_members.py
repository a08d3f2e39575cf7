"""Members of the ensemble: a training row is scored as a new row would be."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.preprocessing import MinMaxScaler

from flowaa.detection.tables.conditionals import Conditionals
from flowaa.detection.tables.contrast import ContrastiveTrees, make_rows
from flowaa.detection.tables.local_planes import LocalPlane
from flowaa.detection.tables.metrics import (
    Direction,
    LeadingComponents,
    RangeScaled,
    Standardised,
    Whitened,
)
from flowaa.detection.tables.neighbours import KernelDensity, NearestNeighbour
from flowaa.detection.tables.normal_scores import GaussianCopula, NormalScores
from flowaa.detection.tables.tail_probability import fit_tail_probability

MEMBERS = {
    "nearest": NearestNeighbour(Standardised()),
    "ranges": NearestNeighbour(RangeScaled()),
    "city block": NearestNeighbour(Standardised(), norm=1),
    "whitened": NearestNeighbour(Whitened()),
    "direction": NearestNeighbour(Direction()),
    "normal scores": NearestNeighbour(NormalScores()),
    "copula": GaussianCopula(),
    "density": KernelDensity(Whitened(0.5)),
    "planes": LocalPlane(),
    "trees": ContrastiveTrees(n_trees=30),
    "rotated trees": ContrastiveTrees(n_trees=30, view=LeadingComponents(share=0.999, above=0)),
    "features": Conditionals(n_trees=5),
}


@pytest.mark.parametrize("shape", [(400, 3), (60, 90)], ids=["tall", "wide"])
@pytest.mark.parametrize("name", MEMBERS)
def test_own_scores_are_distributed_as_those_of_new_inliers(name, shape):
    random = np.random.default_rng(0)
    rows = random.normal(size=(4 * shape[0], shape[1])) @ random.normal(size=(shape[1],) * 2)
    rows /= rows.std(0)
    fitted = MEMBERS[name].fit(rows[:shape[0]], random)
    assert stats.ks_2samp(fitted.own, fitted.score(rows[shape[0]:])).pvalue > 1e-3


@pytest.mark.parametrize("name", sorted(set(MEMBERS) - {"direction"}))  # which sees no distance
def test_far_rows_score_above_all_inliers(name):
    random = np.random.default_rng(1)
    rows = random.normal(size=(200, 4))
    rows[:, 3] = rows[:, 0] + 0.3 * rows[:, 3]
    fitted = MEMBERS[name].fit(rows, random)
    far = np.array([[5.0, 0.0, 0.0, -5.0], [-5.0, 5.0, -5.0, 5.0]])
    assert fitted.score(far).min() > np.quantile(fitted.own, 0.9)


def test_neighbours_are_those_of_all_pairs():
    random = np.random.default_rng(2)
    rows, new = random.normal(size=(80, 3)), random.normal(size=(9, 3))
    fitted = NearestNeighbour(Standardised(), norm=1, k=2).fit(rows, random)
    np.testing.assert_allclose(fitted.score(new), np.sort(cdist(new, rows, "cityblock"))[:, 1])
    np.testing.assert_allclose(fitted.own, np.sort(cdist(rows, rows, "cityblock"))[:, 2])


def test_a_value_as_usual_as_others_is_no_further_for_being_rare():
    """In deviations the rare value is three times the other feature's range away."""
    random = np.random.default_rng(12)
    rows = np.column_stack([random.uniform(size=500), np.arange(500) < 5])
    rows = (rows - rows.mean(0)) / rows.std(0)
    new = random.normal(size=(9, 2))
    own = MinMaxScaler().fit(rows)
    expected = cdist(own.transform(new), own.transform(rows)).min(1)
    fitted = NearestNeighbour(RangeScaled()).fit(rows, random)
    np.testing.assert_allclose(fitted.score(new), expected)


def test_whitening_makes_any_mixing_of_features_alike():
    random = np.random.default_rng(3)
    rows = random.normal(size=(5_000, 3))
    mixed = rows @ random.normal(size=(3, 3))
    white = Whitened().fit(mixed)(mixed)
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=0.06)


def test_normal_scores_are_those_of_ranks_and_go_straight_on_beyond_them():
    random = np.random.default_rng(9)
    rows = np.sort(random.exponential(size=(2_000, 1)), axis=0)
    to_space = NormalScores().fit(rows)
    ranks = stats.rankdata(rows)[:, None]
    np.testing.assert_allclose(
        to_space(rows), 0.1 * rows + 0.9 * stats.norm.ppf((ranks - 0.5) / 2_000))
    end = to_space(rows[-1:])
    np.testing.assert_allclose(to_space(rows[-1:] + 7.0) - end, 1.1 * 7.0)
    assert (to_space(np.full((1, 1), rows[0] - 2.0)) < to_space(rows[:1])).all()


def test_the_copula_is_the_log_density_ratio_of_a_normal_law_to_its_margins():
    random = np.random.default_rng(10)
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    rows = random.multivariate_normal([0, 0], covariance, size=5_000)
    at = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0], [2.0, 0.5]])
    ratio = stats.multivariate_normal([0, 0], covariance).logpdf(at) - stats.norm.logpdf(at).sum(1)
    uniform = [np.sqrt(12) * (stats.norm.cdf(x) - 0.5) for x in (rows, at)]
    scores = GaussianCopula().fit(uniform[0], random).score(uniform[1])
    np.testing.assert_allclose((scores - scores[0]) / 2, ratio[0] - ratio, atol=0.35)


def test_direction_does_not_tell_how_far_a_row_is_and_sees_what_is_inside():
    random = np.random.default_rng(11)
    rows = random.normal(size=(900, 4)) * [3.0, 0.1, 0.1, 0.1]
    rows /= rows.std(0)
    rows[:, 1] += rows[:, 0]  # all rows but the smallest lie along one axis
    score = NearestNeighbour(Direction()).fit(rows, random).score
    along, across = np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[-1.0, 1.0, 0.0, 0.0]])
    far = rows.mean(0) + 1e4 * along, rows.mean(0) + 2e4 * along
    np.testing.assert_allclose(score(far[0]), score(far[1]), rtol=1e-3, atol=1e-6)
    assert score(0.5 * across) > score(far[0])


def test_a_row_beside_a_sheet_is_far_though_its_neighbours_are_close():
    random = np.random.default_rng(6)
    rows = random.normal(size=(600, 3))
    rows[:, 2] = 0.01 * random.normal(size=600)
    fitted = LocalPlane().fit(rows, random)
    beside, along = np.array([[0.0, 0.0, 0.3]]), np.array([[0.3, 0.0, 0.0]])
    assert fitted.score(beside) > fitted.own.max() > fitted.score(along)


def test_distances_to_planes_are_mahalanobis_to_the_near_rows():
    random = np.random.default_rng(7)
    rows, row = random.normal(size=(40, 3)), random.normal(size=3)
    near = rows[np.argsort(((rows - row) ** 2).sum(1))[:20]]
    covariance = np.cov(near.T, bias=True)
    covariance += (0.1 * np.trace(covariance) / 3 + 1e-6) * np.eye(3)
    off = row - near.mean(0)
    np.testing.assert_allclose(LocalPlane().fit(rows, random).score(row[None]),
                               np.log(off @ np.linalg.solve(covariance, off)), rtol=1e-4)


def test_a_densitys_width_follows_the_rows():
    random = np.random.default_rng(4)
    rows = random.normal(size=(1_500, 2))
    score = KernelDensity(Standardised()).fit(rows, random).score
    at = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    difference = score(at) - score(at[:1])
    np.testing.assert_allclose(difference, (at**2).sum(1) / 2, atol=0.5)


@pytest.mark.parametrize("d", [2, 14], ids=["alone", "in groups"])
def test_a_feature_that_no_other_tells_is_predicted_by_its_mean(d):
    random = np.random.default_rng(8)
    rows, new = np.zeros((400, d)), np.zeros((300, d))
    rows[:, 0], new[:, 0] = random.normal(size=400), random.normal(size=300)
    scores = Conditionals(n_trees=40).fit(rows, random).score(new)
    off, of_new = np.abs(rows[:, 0] - rows[:, 0].mean()), new[:, 0] - rows[:, 0].mean()
    expected = np.log1p((of_new / (np.median(off) + 0.02)) ** 2)
    assert np.abs(scores - expected).max() < 0.2


def test_rounding_is_no_spread_of_scores():
    own = np.full(50, 0.3)
    own[::2] = np.nextafter(0.3, 1.0)
    assert fit_tail_probability(own).minus_log(np.array([0.3 + 1e-12]))[0] < np.log(51) + 1e-6


def test_made_rows_stay_by_the_rows_and_their_ranges():
    random = np.random.default_rng(5)
    rows = random.normal(size=(300, 2))
    rows[:, 1] = rows[:, 0]
    shuffled, replaced, jittered, box = np.split(make_rows(rows, 300, random), 4)
    for j in range(2):
        assert np.isin(shuffled[:, j], rows[:, j]).all()
        assert np.isin(replaced[:, j], rows[:, j]).all()
    assert abs(np.corrcoef(shuffled.T)[0, 1]) < 0.2
    assert cdist(jittered, rows).min(1).mean() < 0.5
    assert (np.abs(box) <= 1.2 * np.abs(rows).max()).all()
