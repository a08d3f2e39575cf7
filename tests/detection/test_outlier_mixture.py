"""The outliers a detector learns from: their sources, and which of them count."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from flowaa.config.data import build_data
from flowaa.config.flow import build_density
from flowaa.errors import UserError
from flowaa.outliers import draws as outliers
from flowaa.outliers.mixture import SOURCES, outlier_mixture
from flowaa.outliers.plane import archetype_plane

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def run(plane_run):
    return plane_run


@pytest.fixture(scope="module")
def dataset(run):
    return build_data(run.config)


def mixture_of(run, dataset, **changes):
    arguments = {"sources": ("shell",), "shares": (1.0,), "extremeness": (10.0, 1e6),
                 "box_margin": 0.5, "noise": 1.0, "reject_quantile": 0.0}
    return outlier_mixture(run.density, run.params, dataset, **{**arguments, **changes})


def test_sources_have_their_shares(run, dataset):
    mixture = mixture_of(run, dataset, sources=("shell", "box"), shares=(3.0, 1.0))
    x = dataset.train.x[:80]
    made, weight = mixture(run.params, KEY, x)
    assert made.shape == x.shape
    np.testing.assert_array_equal(weight, 1)
    radius = np.linalg.norm(run.encode(made[:60])[0], axis=1)
    low, high = stats.chi(2).isf([0.1, 1e-6])
    assert (radius > low - 1e-2).all()
    assert (radius < high + 1e-2).all()


def test_box_holds_the_data_and_its_margin(run, dataset):
    x = dataset.train.x
    made, _ = mixture_of(run, dataset, sources=("box",))(run.params, KEY, np.repeat(x, 20, 0))
    span = x.max(0) - x.min(0)
    np.testing.assert_allclose(made.min(0), x.min(0) - 0.5 * span, atol=0.05 * span.max())
    np.testing.assert_allclose(made.max(0), x.max(0) + 0.5 * span, atol=0.05 * span.max())


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_draws(run, dataset, source):
    corners = jax.numpy.array([[[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]]])
    mixture = mixture_of(run, dataset, sources=(source,), plane=archetype_plane(corners))
    made, _ = mixture(run.params, KEY, dataset.train.x[:32])
    assert np.isfinite(made).all()
    assert not np.allclose(made, dataset.train.x[:32])


def test_what_is_probable_does_not_count(run, dataset):
    mixture = mixture_of(run, dataset, sources=("box",), reject_quantile=0.2)
    inliers = np.asarray(outliers.marginal_log_prob(
        run.density, run.params, dataset.validation.x))
    assert mixture.threshold == pytest.approx(np.quantile(inliers, 0.2), rel=1e-4)
    made, weight = mixture(run.params, KEY, dataset.train.x)
    log_prob = outliers.marginal_log_prob(run.density, run.params, made)
    np.testing.assert_array_equal(weight, log_prob < mixture.threshold)
    assert 0 < weight.mean() < 1


def test_keys_alone_make_the_difference(run, dataset):
    mixture = mixture_of(run, dataset)
    x = dataset.train.x[:16]
    first, again, other = (mixture(run.params, key, x)[0] for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.asarray(first - other)).max() > 0.1


def test_levels_stay_levels(run, dataset):
    """Else a detector would know outliers by their fractions."""
    discrete = dataclasses.replace(
        build_density(run.config, dataclasses.replace(run.spec, n_levels=17)))
    mixture = dataclasses.replace(mixture_of(run, dataset, sources=("noise",)), density=discrete)
    x = np.random.default_rng(0).integers(0, 17, (50, 2)).astype(np.uint8)
    made, _ = mixture(run.params, KEY, x)
    np.testing.assert_array_equal(made, np.round(made))
    assert made.min() >= 0
    assert made.max() <= 16


@pytest.mark.parametrize(("changes", "message"), [
    ({"sources": ("shel",)}, "there is no source 'shel'; choose of shell, gumbel"),
    ({"sources": ("simplex",)}, "this run has no archetypes"),
    ({"shares": (1.0, 2.0)}, "give one share"),
    ({"shares": (0.0,)}, "give one share"),
    ({"extremeness": (0.5, 10.0)}, "smallest and the largest return period, at least 1"),
    ({"extremeness": (1e3, 10.0)}, "smallest and the largest return period"),
])
def test_bad_input_ends_in_one_line(run, dataset, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        mixture_of(run, dataset, **changes)
    assert "\n" not in str(caught.value)


def test_uniform_weights_spread_shells_evenly_over_data_space(run, dataset):
    """Weighted counts in the cells of a grid are in proportion to the area drawn from."""
    mixture = mixture_of(run, dataset, reference="uniform", extremeness=(2.0, 50.0))
    made, weight = mixture(run.params, KEY, np.repeat(dataset.train.x[:100], 400, 0))
    made, weight = np.asarray(made), np.asarray(weight, np.float64)
    assert weight.mean() == pytest.approx(1.0, abs=1e-3)
    edges = [np.linspace(*made[:, axis][[made[:, axis].argmin(), made[:, axis].argmax()]], 9)
             for axis in (0, 1)]
    counts = np.histogram2d(*made.T, bins=edges, weights=weight)[0]
    # The area within the shells of each cell, by points even in the square.
    even = np.random.default_rng(0).uniform(
        [edge[0] for edge in edges], [edge[-1] for edge in edges], (40_000, 2)).astype(np.float32)
    drawn = np.isfinite(outliers.between_log_prob(
        run.density, run.params, even, nearest=2.0, furthest=50.0))
    area = np.histogram2d(*even[drawn].T, bins=edges)[0]
    large = area > 200
    even_count = area[large] * counts.sum() / area.sum()
    np.testing.assert_allclose(counts[large] / even_count, 1.0, atol=0.2)


def test_a_uniform_reference_needs_shells_alone(run, dataset):
    with pytest.raises(UserError, match="only a shell's draws"):
        mixture_of(run, dataset, sources=("shell", "box"), shares=(1.0, 1.0), reference="uniform")
