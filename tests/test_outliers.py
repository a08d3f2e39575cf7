"""Outliers of a run lie where the dial says, and carry the numbers they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import flowaa
from flowaa import extremes
from flowaa.bijectors.chain import Chain
from flowaa.errors import UserError
from flowaa.flow.base_distribution import ClassMixture
from flowaa.flow.density import Density
from flowaa.flow.flow import Flow
from flowaa.flow.likelihood import Standardise
from flowaa.outliers import draws as outliers
from flowaa.outliers import evidence
from flowaa.outliers.plane import archetype_plane, coordinates, draw_exterior
from tests.training.tiny import config_of, train

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def by_class(tmp_path_factory):
    """A conditional run whose latents have a Gaussian a class."""
    folder = tmp_path_factory.mktemp("class")
    train(config_of(**{"flow.base": "class_mixture", "flow.conditional": True}), str(folder))
    return flowaa.load_run(folder)


def density_of_classes(means):
    """A density that is a mixture of round Gaussians with these means [K, D], and parameters."""
    k, d = means.shape
    flow = Flow(Chain(()), ClassMixture(d, k), (d,), (d,))
    params = {"base": {"means": means, "log_scales": jnp.zeros((k, d))}}
    return Density(flow, Standardise((0.0,) * d, (1.0,) * d)), params


@pytest.mark.parametrize("kind", ["plane_run", "by_class"])
@pytest.mark.parametrize("extremeness", [10.0, 1e6])
def test_shell_lies_at_the_return_level(kind, extremeness, request):
    run = request.getfixturevalue(kind)
    drawn = run.draw_outliers(KEY, 50, "shell", extremeness=extremeness)
    np.testing.assert_allclose(drawn.radius, stats.chi(2).isf(1 / extremeness), rtol=1e-4)
    of_class = drawn.return_period if kind == "plane_run" else drawn.class_return_period
    np.testing.assert_allclose(of_class, extremeness, rtol=2e-3)
    assert (drawn.return_period <= extremeness * 1.002).all()


def test_a_draw_that_is_ordinary_in_another_class_says_so():
    """Two classes 8 deviations apart; the marginal's tail is known by simulation."""
    density = density_of_classes(jnp.array([[-4.0, 0.0], [4.0, 0.0]]))
    z, label = outliers.draw_latents(*density, KEY, 4000, method="shell", extremeness=1e12)
    found = outliers.numbers(*density, z, z, label)
    np.testing.assert_allclose(found.class_return_period, 1e12, rtol=2e-3)
    nearest = np.linalg.norm(np.asarray(z)[:, None] - [[-4, 0], [4, 0]], axis=2).min(1)
    ordinary = nearest < stats.chi(2).isf(0.01)
    assert 0.02 < ordinary.mean() < 0.2
    assert (found.return_period[ordinary] <= 100.1).all()
    # The period is that of the model's own draws: as large a radius is as rare as it says.
    random = np.random.default_rng(0)
    own = random.normal(size=(400_000, 2)) + np.where(random.random((400_000, 1)) < 0.5, -4, 4) * [
        1, 0]
    radii = np.linalg.norm(own[:, None] - [[-4, 0], [4, 0]], axis=2).min(1)
    stated = np.asarray(found.return_period)
    for index in np.flatnonzero((stated > 3) & (stated < 3000))[:20]:
        true = 1 / (radii > nearest[index]).mean()
        assert stated[index] <= true * 1.2
        assert stated[index] >= true / 1.5


def test_the_period_of_a_simplex_draw_is_that_of_its_gauge():
    k, d = 3, 5
    corners = np.random.default_rng(2).normal(size=(1, k, d)).astype(np.float32)
    plane = archetype_plane(jnp.asarray(corners))
    density = density_of_classes(jnp.zeros((1, d)))
    z, label = outliers.draw_latents(*density, KEY, 50, method="simplex", extremeness=1e5,
                                     plane=plane)
    found = outliers.numbers(*density, z, z, label, plane, by_gauge=True)
    np.testing.assert_allclose(found.return_period, 1e5, rtol=0.02)
    by_radius = outliers.numbers(*density, z, z, label, plane)
    assert (np.abs(np.log10(np.asarray(by_radius.return_period, float)) - 5) > 1).mean() > 0.5


def test_radius_without_a_class_is_that_of_the_nearest():
    density, params = density_of_classes(jnp.array([[-4.0, 0.0], [4.0, 0.0]]))
    z = jnp.array([[5.0, 0.0], [-4.0, 2.0]])
    np.testing.assert_allclose(evidence.latent_radius(density, params, z, None), [1, 2], rtol=1e-6)


def test_statistics_of_a_flow_with_classes_are_the_marginal_s(by_class):
    x = by_class.sample(KEY, 20, label=0)
    found = evidence.flow_statistics(by_class.density, by_class.params, x)
    of_class = [np.exp(np.asarray(by_class.log_prob(x, label=label), float)) for label in (0, 1)]
    np.testing.assert_allclose(-np.asarray(found.nll), np.log(np.mean(of_class, 0)), rtol=1e-4)
    radii = [evidence.latent_radius(by_class.density, by_class.params, by_class.encode(x, label)[0],
                                    jnp.full(20, label)) for label in (0, 1)]
    np.testing.assert_allclose(found.radius, np.min(radii, 0), rtol=1e-4)


def test_gumbel_is_the_furthest_of_n(plane_run):
    drawn = plane_run.draw_outliers(KEY, 4000, "gumbel", extremeness=100.0)
    law = stats.chi(2)
    assert stats.kstest(np.asarray(drawn.radius), lambda r: law.cdf(r) ** 100).pvalue > 1e-3


def test_decoded_outliers_encode_to_where_they_were_drawn(plane_run):
    drawn = plane_run.draw_outliers(KEY, 20, "shell", extremeness=1e3)
    np.testing.assert_allclose(plane_run.encode(drawn.x)[0], drawn.z, atol=1e-3)
    np.testing.assert_allclose(plane_run.log_prob(drawn.x), drawn.log_prob, rtol=1e-5)
    np.testing.assert_array_equal(
        plane_run.sample_outliers(KEY, 20, "shell", extremeness=1e3), drawn.x)


def test_classes_have_shells_of_their_own(by_class):
    base = by_class.params["base"]
    for label in (0, 1):
        z = by_class.draw_outliers(KEY, 20, extremeness=50.0, label=label).z
        standard = (z - base["means"][label]) / np.exp(base["log_scales"][label])
        np.testing.assert_allclose(
            np.linalg.norm(standard, axis=1), stats.chi(2).isf(0.02), rtol=1e-4)


def test_without_label_every_class_is_drawn(by_class):
    labels = np.asarray(by_class.draw_outliers(KEY, 400, extremeness=50.0).label)
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / 20


def test_marginal_density_is_the_mean_over_classes(by_class):
    x = by_class.sample(KEY, 30, label=1)
    of_class = [np.exp(np.asarray(by_class.log_prob(x, label=label), float)) for label in (0, 1)]
    found = evidence.marginal_log_prob(by_class.density, by_class.params, x)
    np.testing.assert_allclose(np.exp(np.asarray(found, float)), np.mean(of_class, 0), rtol=1e-4)


def test_shells_between_two_periods_are_even_in_radius(plane_run):
    drawn = outliers.draw_between(plane_run.density, plane_run.params, KEY, 4000, nearest=10,
                                  furthest=1e6)
    low, high = stats.chi(2).isf([0.1, 1e-6])
    radius = np.linalg.norm(drawn.z, axis=1)
    assert stats.kstest(radius, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["plane_run", "by_class"])
def test_density_between_two_periods_integrates_to_one(kind, request):
    run = request.getfixturevalue(kind)
    params = run.params
    if kind == "by_class":  # scales that matter: training has hardly moved them from 1
        base = params["base"]
        params = {**params, "base": {**base, "log_scales": base["log_scales"] + 0.4}}
    axis = np.linspace(-25, 25, 1001)
    x = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(lambda x: outliers.between_log_prob(
        run.density, params, x, nearest=2.0, furthest=50.0))(x)
    assert np.exp(np.asarray(log_prob, np.float64)).sum() * (axis[1] - axis[0]) ** 2 == (
        pytest.approx(1.0, abs=0.01))


def test_gauge_level_is_exceeded_once_in_n():
    """By simulation, of three normal variables that are not alike."""
    means, deviations = np.array([0.0, 0.5, -1.0]), np.array([1.0, 0.3, 2.0])
    level = float(extremes.gauge_return_level(1000.0, means, deviations))
    chance = stats.norm.sf((level - means) / deviations).sum()
    assert chance == pytest.approx(1e-3, rel=1e-3)
    alike = extremes.gauge_return_level(1e6, np.zeros(4), np.full(4, 3 * 0.7))
    assert alike == pytest.approx(3 * 0.7 * stats.norm.isf(1e-6 / 4), rel=1e-4)


@pytest.mark.parametrize("n_sets", [1, 2])
def test_exterior_of_the_archetypes_plane(n_sets):
    """Latents lie beyond the simplex, at the gauge that one ordinary latent in n exceeds."""
    random = np.random.default_rng(0)
    k, d, n = 4, 7, 2000
    corners = random.normal(size=(n_sets, k, d)).astype(np.float32)
    plane = archetype_plane(jnp.asarray(corners))
    label = jnp.arange(n) % n_sets
    inside = random.dirichlet(np.ones(k), n).astype(np.float32)
    z = np.einsum("nk,nkd->nd", inside, corners[np.asarray(label)])
    np.testing.assert_allclose(coordinates(plane, z, label), inside, atol=1e-4)

    scale = np.linspace(0.5, 2.0, d, dtype=np.float32)
    drawn = draw_exterior(plane, KEY, n, extremeness=100.0, label=label, mean=0.3, scale=scale)
    gauges = extremes.gauge(coordinates(plane, drawn, label))
    ordinary = (0.3 + scale * random.normal(size=(200_000, d))).astype(np.float32)
    for of_set in range(n_sets):
        found = np.asarray(gauges[of_set::n_sets])
        assert np.ptp(found) < 1e-2 * found.mean()  # all at one gauge
        typical = extremes.gauge(coordinates(plane, ordinary, jnp.full(len(ordinary), of_set)))
        # The sum of chances is an upper bound of the chance that one of them comes true.
        assert 0.006 < float((typical > found.mean()).mean()) < 0.0108


def test_across_the_plane_a_draw_is_ordinary():
    d = 6
    corners = np.random.default_rng(1).normal(size=(1, 3, d)).astype(np.float32)
    plane = archetype_plane(jnp.asarray(corners))
    z = np.asarray(draw_exterior(plane, KEY, 4000, extremeness=1e6, label=None, mean=0.0,
                                 scale=1.0))
    across = np.linalg.svd(np.asarray(plane.basis[0]))[2][2:]
    assert stats.kstest((z @ across.T).ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize(("arguments", "message"), [
    ({"extremeness": 10.0, "method": "simplex"}, "this run has no archetypes"),
    ({"extremeness": 0.0}, "extremeness, the return period, is 0.0; .* at least 1"),
    ({"extremeness": float("inf")}, "extremeness, .* is inf"),
    ({"extremeness": 10.0, "method": "cube"}, "method is 'cube'; choose one of shell, gumbel"),
    ({"extremeness": 10.0, "label": 2}, "label must be integers from 0 to 1"),
    ({"extremeness": 10.0, "n": 0}, "n is 0; give a whole number, at least one"),
])
def test_bad_input_ends_in_one_line(by_class, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        by_class.sample_outliers(KEY, **{"n": 4, **arguments})
    assert "\n" not in str(caught.value)
