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
from flowaa.outliers.mixture import SOURCES, outlier_mixture, require_kept
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


def held_out_radii(run, dataset):
    return np.linalg.norm(run.encode(dataset.validation.x)[0], axis=1)


def test_flow_draws_count_from_the_norm_that_few_held_out_rows_reach(run, dataset):
    mixture = mixture_of(run, dataset, sources=("gumbel",), reject_quantile=0.1,
                         extremeness=(2.0, 20.0))
    level = np.quantile(held_out_radii(run, dataset), 0.9)
    made, weight = mixture(run.params, KEY, np.repeat(dataset.train.x[:100], 5, 0))
    radius = np.linalg.norm(run.encode(made)[0], axis=1)
    is_clear = np.abs(radius / level - 1) > 1e-3
    np.testing.assert_array_equal((np.asarray(weight) > 0)[is_clear], (radius >= level)[is_clear])
    assert 0 < weight.mean() < 1


def test_draws_in_data_space_always_count(run, dataset):
    """Inliers drawn again count too: that there are outliers at all does not hang on the flow."""
    mixture = mixture_of(run, dataset, sources=("box", "noise", "permutation", "mixup"),
                         shares=(1.0,) * 4, reject_quantile=0.5, noise=1e-6, box_margin=0.0)
    np.testing.assert_array_equal(mixture(run.params, KEY, dataset.train.x[:80])[1], 1)


def test_shells_lie_beyond_held_out_rows_of_an_overfitted_flow(run, dataset):
    """Held-out rows far out in the latent space push the shells further out."""
    far = dataclasses.replace(dataset.validation, x=np.asarray(dataset.validation.x) * 50)
    far_out = dataclasses.replace(dataset, validation=far)
    mixture = mixture_of(run, far_out, extremeness=(100.0, 1e8), reject_quantile=0.01)
    level = np.quantile(held_out_radii(run, far_out), 0.99)
    assert level > 20
    latents = mixture._latents("shell", run.params, KEY, 200).z
    assert (np.linalg.norm(latents, axis=1) >= level * (1 - 1e-4)).all()
    kept = require_kept(mixture, run.params, KEY, dataset.train.x[:100])
    assert kept == {"shell": 1.0}
    made, _ = mixture(run.params, KEY, dataset.train.x[:100])
    span = np.ptp(dataset.train.x, axis=0)
    assert (np.abs(made - dataset.train.x.mean(0)) <= 11 * span).all()


def test_too_few_outliers_that_count_are_refused(run, dataset):
    mixture = mixture_of(run, dataset, sources=("shell", "box"), shares=(1.0, 1.0),
                         extremeness=(1.0, 1.1), reject_quantile=0.01)
    with pytest.raises(UserError, match=r"only 0.0% of the draws of shell count, .* raise "
                                        r"detector.extremeness") as caught:
        require_kept(mixture, run.params, KEY, dataset.train.x[:50])
    assert "\n" not in str(caught.value)


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
        run.density, run.params, even, nearest=2.0, furthest=50.0, stretch=mixture.stretch))
    area = np.histogram2d(*even[drawn].T, bins=edges)[0]
    large = area > 200
    even_count = area[large] * counts.sum() / area.sum()
    np.testing.assert_allclose(counts[large] / even_count, 1.0, atol=0.2)


def test_a_uniform_reference_needs_shells_alone(run, dataset):
    with pytest.raises(UserError, match="only a shell's draws"):
        mixture_of(run, dataset, sources=("shell", "box"), shares=(1.0, 1.0), reference="uniform")
