"""Archetypes as a flow's base distribution: the law of a noisy simplex.

A latent z = (u, v) holds the place u [K - 1] among the archetypes and the rest v [D - K + 1]:

    p(u) = integral Dir(a; alpha) N(u; Z^T a, sigma^2 I) da
         ~ 1/N sum_k N(u; Z^T a_k, sigma^2 I),     v ~ N(0, I),

with a_k a quasi-random Dirichlet sample, so that the integral is a sum and its gradient exact; the
vertices Z [K, K - 1] and the noise sigma are learned. It is the probabilistic reading of Cutler &
Breiman (1994, Technometrics 36): rows are mixtures of extremes, and noise. Training a flow with it
is maximum likelihood and nothing else; the weights of a row are the posterior mean

    A(u) = sum_k p(k | u) a_k,

whose entries lie in [0, 1] and sum to one. Deep archetypal analysis (Keller et al. 2019, 2021)
balances losses of an encoder and a decoder instead; here decoding is the flow's inverse.

What is identifiable. Behind a linear map: the directions of u are those in which the latent is not
normal (Blanchard et al. 2006, J. Mach. Learn. Res. 7), sigma and the simplex follow since its law
is compact and the noise normal, and its vertices have no symmetry but their order. Behind a curve
of each feature and a linear map (`flow.curves` and `flow.readout`, no blocks: the post-nonlinear
mixture of Taleb & Jutten 1999, who prove it for independent sources) we know of no proof, but where
data are such, weights come out nearly as exact as the noise allows. Behind a flow that can be any
map nothing is identifiable, since maps that keep p(z) are many; Khemakhem et al. (2020, arXiv
1907.04809) condition on side information therefore. There the weights found are those of the
smoothest map that training meets. What p(a) is said to be counts too: vertices are placed so that
weights come out as Dir(alpha) has them, and where true weights are far from it (one archetype rare,
or all rows near the middle), the simplex is misplaced. Rows held out tell which flow to trust: on
Keller et al.'s mixtures couplings have the lower likelihood than curves, and the worse weights
(`python -m experiments.benchmark archetypal_flow`, figures in the README).
"""

import functools

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.typing import ArrayLike
from scipy import stats

Array = jax.Array

_FIRST_NOISE = 0.2  # sigma before a start is fitted, where edges have length sqrt(2)


class NoisySimplexLaw(distrax.Distribution):
    """The law of one latent [D]; see the module.

    The density is the mixture's of the N points, exactly, and draws are the mixture's. It is near
    that of the whole simplex where sigma is not much below the distance between points.
    """

    def __init__(
        self, vertices: Array, points: ArrayLike, noise: ArrayLike, n_rest: int,
        temperature: ArrayLike = 1.0,
    ) -> None:
        """A law with vertices Z [K, K - 1].

        Args:
            vertices: Z, in the latent's units.
            points: [N, K] weights on the simplex.
            noise: sigma, the standard deviation of u about its place.
            n_rest: D - K + 1, the dimensions of v.
            temperature: factor on the deviations of noise and rest; weights stay as they are.
        """
        self.vertices, self.points = vertices, jnp.asarray(points)
        self.noise = noise * jnp.asarray(temperature)
        self._rest, self._n_rest = jnp.asarray(temperature), n_rest

    @property
    def event_shape(self) -> tuple[int, ...]:
        """[D]."""
        return (self.vertices.shape[1] + self._n_rest,)

    def log_prob(self, value: Array) -> Array:
        """log p(z) [...] in nats of z [..., D]."""
        u, rest = self._parts(value)
        k = self.vertices.shape[0]
        log_u = (jax.nn.logsumexp(self._exponents(u), axis=-1) - np.log(len(self.points))
                 - (k - 1) * (jnp.log(self.noise) + 0.5 * np.log(2 * np.pi)))
        log_rest = -0.5 * jnp.square(rest / self._rest) - jnp.log(self._rest)
        return log_u + (log_rest - 0.5 * np.log(2 * np.pi)).sum(-1)

    def weights(self, z: Array) -> Array:
        """The posterior mean A [..., K] of the weights of z [..., D]; rows sum to one."""
        u, _ = self._parts(z)
        places = self._places()
        # |u|^2, the same for all points, is left out: of far rows nothing else would be left.
        exponents = (jnp.matmul(u / self.noise, places.T / self.noise,
                                precision=jax.lax.Precision.HIGHEST)
                     - 0.5 * jnp.square(places / self.noise).sum(-1))
        return jax.nn.softmax(exponents) @ self.points

    def latent(self, weights: Array, rest: ArrayLike = 0.0) -> Array:
        """z [..., D] of weights [..., K], with v the given rest [..., D - K + 1], or its mean."""
        shape = (*weights.shape[:-1], self._n_rest)
        u = jnp.matmul(weights, self.vertices, precision=jax.lax.Precision.HIGHEST)
        return jnp.concatenate([u, jnp.broadcast_to(jnp.asarray(rest, u.dtype), shape)], axis=-1)

    def rest(self, z: Array) -> Array:
        """v [..., D - K + 1] of z [..., D]: what is not weight."""
        return self._parts(z)[1]

    def with_weights(self, z: Array, weights: Array) -> Array:
        """z [..., D] moved from its own weights to others [..., K]; its noise and rest stay."""
        u, rest = self._parts(z)
        moved = jnp.matmul(weights - self.weights(z), self.vertices,
                           precision=jax.lax.Precision.HIGHEST)
        return jnp.concatenate([u + moved, rest], axis=-1)

    def mean(self) -> Array:
        """[D]."""
        return self.latent(self.points.mean(0))

    def variance(self) -> Array:
        """[D], of each dimension."""
        of_u = (self.points @ self.vertices).var(0) + self.noise**2
        return jnp.concatenate([of_u, jnp.full(self._n_rest, self._rest**2, of_u.dtype)])

    def stddev(self) -> Array:
        """[D], of each dimension."""
        return jnp.sqrt(self.variance())

    def _sample_n(self, key: Array, n: int) -> Array:
        point_key, noise_key = jax.random.split(key)
        place = jax.random.randint(point_key, (n,), 0, len(self.points))
        drawn = jax.random.normal(noise_key, (n, *self.event_shape))
        u, rest = self._parts(drawn)
        return self.latent(self.points[place], self._rest * rest) + jnp.concatenate(
            [self.noise * u, jnp.zeros_like(rest)], axis=-1)

    def _parts(self, z: Array) -> tuple[Array, Array]:
        """u and v."""
        n = self.vertices.shape[1]
        return z[..., :n], z[..., n:]

    def _exponents(self, u: Array) -> Array:
        """-|u - Z^T a_k|^2 / (2 sigma^2), [..., N] of u [..., K - 1]."""
        return -0.5 * jnp.square((u[..., None, :] - self._places()) / self.noise).sum(-1)

    def _places(self) -> Array:
        """Z^T a_k, [N, K - 1]."""
        return jnp.matmul(self.points, self.vertices, precision=jax.lax.Precision.HIGHEST)


class NoisySimplex(nn.Module):
    """The base distribution with learned vertices and noise; see the module."""

    n_dims: int  # D, at least K - 1
    n_archetypes: int  # K
    n_points: int = 512  # N
    concentration: float = 1.0  # alpha; 1 is even on the simplex, smaller is nearer to its corners

    @nn.compact
    def __call__(
        self, label: Array | None = None, temperature: Array | float = 1.0
    ) -> NoisySimplexLaw:
        """A law over [D], whatever the label."""
        del label
        k = self.n_archetypes
        vertices = self.param("vertices", lambda _: jnp.asarray(
            scipy.linalg.helmert(k).T, jnp.float32))
        log_noise = self.param("log_noise", lambda _: jnp.log(jnp.float32(_FIRST_NOISE)))
        points = simplex_points(k, self.n_points, self.concentration)
        return NoisySimplexLaw(jnp.asarray(vertices), points, jnp.exp(log_noise),
                               self.n_dims - k + 1, temperature)


@functools.lru_cache
def simplex_points(n_archetypes: int, n: int, concentration: float = 1.0) -> np.ndarray:
    """A quasi-random sample [n, K] float32 of the symmetric Dirichlet law, always the same.

    Sobol's sequence, each number in the middle of its cell, goes through the quantiles of the beta
    laws by which a stick of length one is broken. Powers of two are the most even.

    >>> simplex_points(2, 4).tolist()
    [[0.125, 0.875], [0.625, 0.375], [0.875, 0.125], [0.375, 0.625]]
    """
    n_bits = max(int(np.ceil(np.log2(n))), 1)
    sobol = stats.qmc.Sobol(n_archetypes - 1, scramble=False).random_base2(n_bits)[:n]
    shares = sobol + 0.5 ** (n_bits + 1)
    weights, rest = np.empty((n, n_archetypes)), np.ones(n)
    for index in range(n_archetypes - 1):
        n_left = n_archetypes - 1 - index
        broken = stats.beta.ppf(shares[:, index], concentration, n_left * concentration)
        weights[:, index], rest = rest * broken, rest * (1.0 - broken)
    weights[:, -1] = rest
    return weights.astype(np.float32)
