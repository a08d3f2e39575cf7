"""Keller et al.'s artificial data: its law, recovered by least squares."""

import numpy as np
import pytest
from scipy import stats

from configs import default
from flowaa.config.data import build_data
from flowaa.data.sources.keller import NOISE, keller
from flowaa.errors import UserError


def load(**changes):
    options = {"n_rows": 6000, "nonlinear": True, "seed": 0, "validation_fraction": 0.1,
               "test_fraction": 0.2}
    return keller(**{**options, **changes})


def all_rows(dataset):
    splits = (dataset.train, dataset.validation, dataset.test)
    order = np.argsort(np.concatenate([split.source_rows for split in splits]))
    return tuple(np.concatenate([getattr(split, name) for split in splits])[order]
                 for name in ("x", "side"))


def test_points_are_noisy_mixtures_of_three_archetypes():
    dataset = load(nonlinear=False)
    x, weights = all_rows(dataset)
    assert (x.shape, x.dtype) == ((6000, 8), np.float32)
    assert (weights.shape, weights.dtype) == ((6000, 3), np.float32)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-6)
    for k in range(3):  # even on the triangle
        assert stats.kstest(weights[:, k], stats.beta(1, 2).cdf).pvalue > 1e-3
    archetypes = np.linalg.lstsq(weights.astype(float), x.astype(float))[0]
    noise = x - weights @ archetypes
    for feature in range(8):
        assert stats.kstest(noise[:, feature], stats.norm(0, NOISE).cdf).pvalue > 1e-3
    apart = np.linalg.norm(archetypes[:, None] - archetypes, axis=-1)[np.triu_indices(3, 1)]
    assert apart.min() > 1.0
    assert dataset.train.y is None
    assert (dataset.spec.n_levels, dataset.spec.n_classes) == (0, 0)
    assert len(dataset.spec.side_names) == 3


def test_weights_have_the_concentration_asked_for_each_archetype_its_own():
    _, weights = all_rows(load(concentration=(4.0, 1.0, 2.0)))
    for k, alpha in enumerate((4.0, 1.0, 2.0)):
        assert stats.kstest(weights[:, k], stats.beta(alpha, 7.0 - alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_exponential_bends_the_widest_coordinate_alone(seed):
    linear, weights = all_rows(load(nonlinear=False, seed=seed))
    bent, same_weights = all_rows(load(seed=seed))
    np.testing.assert_array_equal(weights, same_weights)
    (column,) = np.flatnonzero((linear != bent).any(0))
    np.testing.assert_allclose(bent[:, column], np.exp(linear[:, column]), rtol=1e-5)
    archetypes = np.linalg.lstsq(weights.astype(float), linear.astype(float))[0]
    assert column == np.ptp(archetypes, axis=0).argmax()


def test_keller_depends_on_the_seed_alone():
    first, again, other = load(), load(), load(seed=1)
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert not np.array_equal(first.test.x, other.test.x)
    assert [len(s) for s in (first.train, first.validation, first.test)] == [4320, 480, 1200]


@pytest.mark.parametrize("changes", [{"n_rows": 2}, {"seed": -1}])
def test_an_unusable_argument_ends_in_one_line(changes):
    with pytest.raises(UserError, match=r"config\."):
        load(**changes)


def test_keller_is_configured_by_the_config():
    config = default.get_config()
    config.data.update(name="keller", n_rows=90)
    bent = build_data(config)
    config.data.nonlinear = False
    flat = build_data(config)
    assert len(bent.train) + len(bent.validation) + len(bent.test) == 90
    assert (bent.train.x != flat.train.x).any(0).sum() == 1
