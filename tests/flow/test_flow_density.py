"""Densities against closed forms, quadrature and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from flowaa.bijectors.base import bound
from flowaa.bijectors.chain import Chain
from flowaa.bijectors.mixing import ActNorm, InvertibleLinear, Orthogonal, Permutation
from flowaa.bijectors.reshape import Flatten, Squeeze
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.base_distribution import ClassMixture, StandardNormal
from flowaa.flow.density import Density, DensityDistribution
from flowaa.flow.flow import Flow
from flowaa.flow.likelihood import Standardise
from tests.bijectors.checks import random_params

RANDOM = np.random.default_rng(0)


def random_flow_params(density: Density, label: jax.Array | None = None):
    x = jnp.zeros((2, *density.flow.shape))
    label = None if label is None else jnp.zeros(2, jnp.int32)
    shapes = jax.eval_shape(density.flow.init, jax.random.key(0), x, label)
    return random_params(shapes.get("params", {}), "float32")


LINEAR = {
    "vector": ((5,), (InvertibleLinear(1), ActNorm(), Orthogonal(2), InvertibleLinear(3),
                      Permutation(4), ActNorm())),
    "image": ((2, 2, 2), (InvertibleLinear(1), Squeeze(), ActNorm(), Flatten((1, 1, 8)),
                          InvertibleLinear(2))),
}


@pytest.mark.parametrize("kind", LINEAR)
def test_linear_flow_is_a_gaussian(kind):
    """z = A (x - m) / s + b of a standard normal z is x of mean m - s A^-1 b."""
    shape, blocks = LINEAR[kind]
    n_dims, n_channels = int(np.prod(shape)), shape[-1]
    mean, std = RANDOM.normal(size=n_channels), RANDOM.uniform(0.5, 2.0, n_channels)
    density = Density(Flow(Chain(blocks), StandardNormal(n_dims), shape, (n_dims,)),
                      Standardise(tuple(mean), tuple(std)))
    params = random_flow_params(density)
    corners = jnp.concatenate([jnp.zeros((1, n_dims)), jnp.eye(n_dims)]).reshape(-1, *shape)
    encode = jax.jit(lambda x: density.encode(params, x, None, 0.0)[0])
    z = np.asarray(encode(corners), np.float64)
    matrix, offset = (z[1:] - z[0]).T, z[0]  # z = matrix @ x + offset, x in data units
    inverse = np.linalg.inv(matrix)
    gaussian = stats.multivariate_normal(-inverse @ offset, inverse @ inverse.T)
    x = RANDOM.normal(size=(6, n_dims))
    x_model = jnp.asarray(x, jnp.float32).reshape(-1, *shape)
    found = jax.jit(lambda x: density.log_prob(params, x, None, 0.0))(x_model)
    np.testing.assert_allclose(found, gaussian.logpdf(x), rtol=1e-4, atol=1e-3)


def plane_density(law: str, conditional: bool) -> Density:
    architecture = Architecture(
        (Stage("none", n_blocks=2, width=8),), law=law, mixing="orthogonal", actnorm=True
    )
    chain, latent_shape = architecture.build((2,))
    flow = Flow(chain, ClassMixture(2, 2) if conditional else StandardNormal(2), (2,),
                latent_shape, n_condition_classes=2 if conditional else 0)
    return Density(flow, Standardise((1.0, -1.0), (2.0, 0.5)))


@pytest.mark.parametrize("conditional", [False, True], ids=["unconditional", "conditional"])
@pytest.mark.parametrize("law", ["affine", "spline"])
def test_density_of_the_plane_integrates_to_one(law, conditional):
    density = plane_density(law, conditional)
    params = random_flow_params(density, jnp.zeros(2) if conditional else None)
    params = jax.tree.map(lambda leaf: leaf / 2, params)  # so that the grid resolves the ridges
    for label in ([0, 1] if conditional else [None]):
        distribution = DensityDistribution(density, params, label)
        draw = jax.jit(lambda key, law=distribution: law.sample(seed=key, sample_shape=4000))
        draws = np.asarray(draw(jax.random.key(0)), np.float64)
        centre, half = draws.mean(0), 1.6 * np.abs(draws - draws.mean(0)).max(0)
        n = 400
        cells = [np.linspace(-1, 1, n + 1)[:-1] + 1 / n] * 2  # midpoints
        grid = centre + half * np.stack(np.meshgrid(*cells, indexing="ij"), -1).reshape(-1, 2)
        log_prob = jax.jit(distribution.log_prob)(jnp.asarray(grid, jnp.float32))
        mass = np.exp(np.asarray(log_prob, np.float64)) * (2 * half / n).prod()
        assert mass.sum() == pytest.approx(1.0, abs=2e-3)
        # And the draws follow it: shares of a quarter plane, to four standard errors.
        expected = mass[(grid < centre).all(1)].sum()
        assert (draws < centre).all(1).mean() == pytest.approx(expected, abs=4 * 0.5 / 4000**0.5)


def mixture(n_dims=3, n_classes=4):
    base = ClassMixture(n_dims, n_classes)
    means = RANDOM.normal(size=(n_classes, n_dims))
    scales = RANDOM.uniform(0.5, 2.0, (n_classes, n_dims))
    params = {"means": jnp.asarray(means, jnp.float32),
              "log_scales": jnp.asarray(np.log(scales), jnp.float32)}
    gaussians = [stats.multivariate_normal(m, np.diag(s**2))
                 for m, s in zip(means, scales, strict=True)]
    return base, params, gaussians


def test_class_mixture_given_labels_is_each_labels_gaussian():
    base, params, gaussians = mixture()
    z, label = RANDOM.normal(size=(6, 3)), np.array([0, 3, 1, 2, 2, 0])
    found = bound(base, params)(jnp.asarray(label)).log_prob(
        jnp.asarray(z, jnp.float32))
    expected = [gaussians[k].logpdf(row) for row, k in zip(z, label, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_class_mixture_without_labels_is_the_mixture():
    base, params, gaussians = mixture()
    z = RANDOM.normal(size=(6, 3))
    found = bound(base, params)().log_prob(jnp.asarray(z, jnp.float32))
    expected = special.logsumexp([g.logpdf(z) for g in gaussians], axis=0) - np.log(4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("label", [None, 2])
def test_draws_of_a_class_mixture_scale_with_temperature(label):
    """Half the temperature halves the deviations, and none leaves the classes' means."""
    flow = Flow(Chain((ActNorm(),)), ClassMixture(1, 3), (1,), (1,))
    means = np.array([[-10.0], [0.0], [10.0]])
    params = {"base": {"means": jnp.asarray(means), "log_scales": jnp.zeros((3, 1))}}
    n = 2000
    labels = None if label is None else jnp.full(n, label)
    for temperature in (0.0, 0.5, 1.0):
        z = np.asarray(bound(flow, params).sample_latent(
            jax.random.key(0), n, labels, temperature))
        nearest = means[np.abs(z - means.T).argmin(1)]
        assert (z - nearest).std() == pytest.approx(temperature, rel=0.1, abs=1e-6)
        classes, counts = np.unique(nearest, return_counts=True)
        assert len(classes) == (3 if label is None else 1)
        assert counts.min() > 0.25 * n
