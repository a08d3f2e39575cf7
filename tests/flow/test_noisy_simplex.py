"""The law of a noisy simplex against quadrature, closed forms and its own draws."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from flowaa.flow.noisy_simplex import NoisySimplex, NoisySimplexLaw
from flowaa.flow.simplex_points import simplex_points

TRIANGLE = np.array([[0.0, 0.3], [2.0, -0.5], [0.7, 1.8]])
SIGMA = 0.25


def law_of(vertices, *, noise=SIGMA, n_rest=0, n_points=8192, concentration=1.0, temperature=1.0):
    points = simplex_points(len(vertices), n_points)
    alpha = jnp.broadcast_to(jnp.asarray(concentration, jnp.float32), (len(vertices),))
    return NoisySimplexLaw(jnp.asarray(vertices, jnp.float32), points.weights,
                           points.log_masses(alpha), noise, n_rest, temperature)


def by_quadrature(u, values=lambda a: 1.0, alpha=(1.0, 1.0, 1.0)):
    """The integral of values(a) Dir(a; alpha) N(u; Z^T a, sigma^2 I) over the triangle."""
    def integrand(a2, a1):
        a = np.array([a1, a2, max(1 - a1 - a2, 1e-12)])
        density = np.exp(special.gammaln(np.sum(alpha)) - special.gammaln(alpha).sum()
                         + ((np.array(alpha) - 1) * np.log(np.maximum(a, 1e-300))).sum())
        return density * values(a) * stats.norm.pdf((u - a @ TRIANGLE) / SIGMA).prod() / SIGMA**2

    return integrate.dblquad(integrand, 0, 1, 0, lambda a1: 1 - a1, epsabs=1e-7, epsrel=1e-7)[0]


def test_a_segments_density_is_a_difference_of_normal_integrals():
    low, high = -1.0, 2.0
    u = np.linspace(-2, 3, 41)
    exact = (stats.norm.cdf((u - low) / SIGMA) - stats.norm.cdf((u - high) / SIGMA)) / (high - low)
    found = law_of([[low], [high]]).log_prob(jnp.asarray(u[:, None], jnp.float32))
    np.testing.assert_allclose(np.exp(found), exact, rtol=2e-4, atol=1e-7)


def test_concentrated_weights_have_the_dirichlet_laws_density():
    u, alpha = 0.3, 0.5
    exact = integrate.quad(  # of the segment from 0 to 1, by the angle that evens arcsine's law
        lambda angle: stats.norm.pdf(u, np.sin(angle)**2, SIGMA) * 2 / np.pi, 0, np.pi / 2)[0]
    found = law_of([[1.0], [0.0]], concentration=alpha).log_prob(jnp.array([[u]]))
    np.testing.assert_allclose(np.exp(found), exact, rtol=1e-3)


@pytest.mark.parametrize("alpha", [(1.0, 1.0, 1.0), (1.0, 2.0, 4.0), (6.0, 6.0, 6.0)])
@pytest.mark.parametrize("u", [(0.9, 0.5), (0.1, 0.2), (2.4, -0.6)])
def test_a_triangles_density_and_weights_are_the_integrals(u, alpha):
    """Within, at a corner and outside."""
    law, z = law_of(TRIANGLE, concentration=alpha), jnp.array([u], jnp.float32)
    density = by_quadrature(np.array(u), alpha=alpha)
    np.testing.assert_allclose(np.exp(law.log_prob(z))[0], density, rtol=5e-3)
    weights = [by_quadrature(np.array(u), lambda a, j=j: a[j], alpha) / density for j in range(3)]
    found = np.asarray(law.weights(z))[0]
    np.testing.assert_allclose(found, weights, atol=2e-3)
    np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "atol"), [
    ((0.4, 0.4, 0.4), 0.015), ((1.0, 1.0, 1.0), 0.01), ((1.0, 2.0, 4.0), 0.015)])
def test_512_points_are_as_good_as_many(alpha, atol):
    """Of the law's own draws; the noise is an eighth of the edges, as that of trained flows is."""
    few, many = (law_of(TRIANGLE, n_points=n, concentration=alpha) for n in (512, 16384))
    z = many.sample(seed=jax.random.key(0), sample_shape=(500,))
    difference = np.asarray(few.log_prob(z) - many.log_prob(z))
    assert np.abs(difference).mean() < atol
    assert abs(difference.mean()) < 2e-3
    np.testing.assert_allclose(few.weights(z), many.weights(z), atol=0.01)


def test_the_rest_is_normal_whatever_the_weights():
    law, alone = law_of(TRIANGLE, n_rest=2, n_points=64), law_of(TRIANGLE, n_points=64)
    z = jnp.asarray(np.random.default_rng(1).normal(size=(20, 4)), jnp.float32)
    rest = stats.norm.logpdf(np.asarray(z[:, 2:])).sum(1)
    np.testing.assert_allclose(law.log_prob(z), alone.log_prob(z[:, :2]) + rest, rtol=1e-5)
    np.testing.assert_allclose(law.weights(z), alone.weights(z[:, :2]), rtol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_follow_the_density(temperature):
    """By their mean log-density, which is that of the law's own quadrature, and their moments."""
    law = law_of([[-1.0], [1.0]], n_rest=1, temperature=temperature, n_points=256)
    drawn = law.sample(seed=jax.random.key(0), sample_shape=(20_000,))
    grid = jnp.linspace(-4, 4, 4001)
    log_p = law.log_prob(jnp.stack([grid, 0 * grid], 1)) - law.log_prob(
        jnp.array([[0.0, 0.0]])) + law_of([[-1.0], [1.0]], noise=SIGMA * temperature,
                                          n_points=256).log_prob(jnp.array([[0.0]]))
    p = np.exp(np.asarray(log_p, np.float64))
    assert integrate.trapezoid(p, grid) == pytest.approx(1.0, abs=1e-4)
    entropy = (-integrate.trapezoid(p * log_p, grid)
               + 0.5 * np.log(2 * np.pi * np.e * temperature**2))
    assert -law.log_prob(drawn).mean() == pytest.approx(entropy, abs=0.03)
    np.testing.assert_allclose(drawn.mean(0), law.mean(), atol=0.03)
    np.testing.assert_allclose(drawn.std(0), law.stddev(), rtol=0.02)
    np.testing.assert_allclose(law.stddev() ** 2, law.variance(), rtol=1e-6)


def test_weights_and_rest_make_a_latent():
    law = law_of(TRIANGLE, n_rest=2)
    weights = jnp.array([[0.2, 0.3, 0.5], [1.5, -0.25, -0.25]])
    rest = jnp.array([[1.0, 2.0], [-1.0, 0.5]])
    z = law.latent(weights, rest)
    np.testing.assert_allclose(z[:, :2], np.asarray(weights) @ TRIANGLE, rtol=1e-5)
    np.testing.assert_array_equal(law.rest(z), rest)
    np.testing.assert_array_equal(law.rest(law.latent(weights)), 0.0)


@pytest.mark.parametrize(("alpha", "n", "atol"), [
    ((1.0, 1.0), 1024, 0.01), ((1.0, 2.0, 4.0), 1024, 0.01), ((0.3, 0.3, 0.3), 1024, 0.02),
    ((1.0,) * 10, 4096, 0.02), ((0.2,) * 10, 4096, 0.02)])
def test_masses_are_those_of_a_dirichlet_law(alpha, n, atol):
    """Every weight has its beta law and, of two, the covariance."""
    k, total = len(alpha), sum(alpha)
    points = simplex_points(k, n)
    np.testing.assert_allclose(points.weights.sum(1), 1.0, rtol=1e-6)
    masses = np.exp(np.asarray(points.log_masses(jnp.asarray(alpha)), np.float64))
    assert masses.sum() == pytest.approx(1.0, abs=1e-5)
    for index in range(k):
        order = np.argsort(points.weights[:, index])
        law, weights = stats.beta(alpha[index], total - alpha[index]), points.weights[order, index]
        below = np.cumsum(masses[order]) - masses[order] / 2
        # Smaller weights are set to 1e-6.
        assert np.abs(below - law.cdf(weights))[weights > 1e-5].max() < 3 * atol
        assert masses @ points.weights[:, index] == pytest.approx(law.mean(), abs=atol / 2)
    covariance = masses @ (points.weights[:, 0] * points.weights[:, 1]) - (
        alpha[0] * alpha[1] / total**2)
    exact = -alpha[0] * alpha[1] / (total**2 * (total + 1))
    assert covariance == pytest.approx(exact, abs=atol / 2)


def test_points_favour_no_archetype_and_come_near_to_each():
    for k in (2, 3, 6, 10):
        weights = simplex_points(k, 512).weights
        assert len(weights) >= 512
        np.testing.assert_allclose(weights.mean(0), 1 / k, rtol=1e-5)
        np.testing.assert_allclose(np.sort(weights, 0), np.sort(np.roll(weights, 1, 1), 0))
        assert weights.max(0).min() > 0.9


def test_the_score_of_the_concentration_is_zero_on_the_laws_own_draws():
    """And not elsewhere: rows tell how concentrated their weights are."""
    alpha = jnp.array([1.0, 2.0, 4.0])
    law = law_of(TRIANGLE, concentration=alpha, n_points=512)
    z = law.sample(seed=jax.random.key(0), sample_shape=(20_000,))

    @jax.jit
    @jax.grad
    def score(log_alpha):
        return law_of(TRIANGLE, concentration=jnp.exp(log_alpha), n_points=512).log_prob(z).mean()

    np.testing.assert_allclose(score(jnp.log(alpha)), 0.0, atol=0.01)
    assert np.abs(score(jnp.zeros(3))).max() > 0.05


def test_far_out_gradients_are_finite():
    base = NoisySimplex(n_dims=3, n_archetypes=3, n_points=64)
    params = jax.jit(base.init)(jax.random.key(0))

    def log_prob(params, z):
        law = base.apply(params)
        assert isinstance(law, distrax.Distribution)
        return law.log_prob(z).sum()

    gradients = jax.jit(jax.grad(log_prob, (0, 1)))(params, jnp.full((2, 3), 1e4))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))


def test_uneven_concentrations_leave_the_mean_at_zero_and_the_learned_shape_s_spread():
    """What is learned of one of concentration and place does not move the other."""
    base = NoisySimplex(n_dims=2, n_archetypes=3, n_points=4096)
    params = base.init(jax.random.key(0))["params"]
    uneven = params | {"log_concentration": jnp.log(jnp.array([1.0, 2.0, 4.0]))}
    law = base.apply({"params": uneven})
    np.testing.assert_allclose(law.mean(), 0.0, atol=0.01)
    drawn = law.sample(seed=jax.random.key(1), sample_shape=(40_000,))
    np.testing.assert_allclose(drawn.mean(0), law.mean(), atol=0.01)
    even, central = (base.apply({"params": params | {
        "log_concentration": jnp.full(3, jnp.log(alpha))}}) for alpha in (1.0, 3.0))
    np.testing.assert_allclose(central.variance(), even.variance(), rtol=0.02)


def test_concentrations_stay_within_their_bounds():
    base = NoisySimplex(n_dims=2, n_archetypes=3)
    params = base.init(jax.random.key(0))["params"]
    for log_alpha in (-30.0, 30.0):
        law = base.apply({"params": params | {"log_concentration": jnp.full(3, log_alpha)}})
        masses = np.exp(np.asarray(law.log_masses))
        assert 1 / np.square(masses).sum() > 10  # not all at one point
