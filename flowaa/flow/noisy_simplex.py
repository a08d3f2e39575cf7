"""Archetypes as a flow's base distribution: the law of a noisy simplex.

A latent z = (u, v) holds the place u [K - 1] among the archetypes and the rest v [D - K + 1]:

    p(u) = integral Dir(a; alpha) N(u; Z^T a, sigma^2 I) da
         ~ sum_k m_k N(u; Z^T a_k, sigma^2 I),     v ~ N(0, I),

with a_k quasi-random points of the simplex and m_k the shares of the Dirichlet law that they carry
(`flow.simplex_points`), so that the integral is a sum and its gradient exact. The vertices
Z [K, K - 1], the concentration alpha [K] and the noise sigma are learned. It is the probabilistic
reading of Cutler & Breiman (1994, Technometrics 36): rows are mixtures of extremes, and noise.
Training a flow with it is maximum likelihood and nothing else; the weights of a row are the
posterior mean

    A(u) = sum_k p(k | u) a_k,     p(k | u) ~ m_k N(u; Z^T a_k, sigma^2 I),

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
weights come out as a Dirichlet law has them. Its concentration is learned, from how the density
falls towards faces and corners, of which rows that keep to the middle say little: with noise as
wide as their spread, weights may come out no better than constant ones. Other laws (two groups of
weights, say) misplace the simplex, and a better likelihood then says nothing of the weights. Of
curves and blocks it does: on Keller et al.'s mixtures couplings have the lower likelihood on rows
held out, and the worse weights (`python -m experiments.benchmark archetypal_flow`, figures in the
README).
"""

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.typing import ArrayLike

from flowaa.flow.simplex_points import simplex_points

Array = jax.Array

_FIRST_NOISE = 0.2  # sigma before a start is fitted, where edges have length sqrt(2)
_CONCENTRATIONS = 0.1, 20.0  # the least and the largest alpha


class NoisySimplexLaw(distrax.Distribution):
    """The law of one latent [D]; see the module.

    The density is the mixture's of the N points, exactly, and draws are the mixture's. It is near
    that of the whole simplex where sigma is not much below the distance between points.
    """

    def __init__(
        self, vertices: Array, points: ArrayLike, log_masses: ArrayLike, noise: ArrayLike,
        n_rest: int, temperature: ArrayLike = 1.0,
    ) -> None:
        """A law with vertices Z [K, K - 1].

        Args:
            vertices: Z, in the latent's units.
            points: [N, K] weights on the simplex.
            log_masses: [N] logarithms of the points' shares, which sum to one.
            noise: sigma, the standard deviation of u about its place.
            n_rest: D - K + 1, the dimensions of v.
            temperature: factor on the deviations of noise and rest; weights stay as they are.
        """
        self.vertices, self.points = vertices, jnp.asarray(points)
        self.log_masses = jnp.asarray(log_masses)
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
        log_u = (jax.nn.logsumexp(self._exponents(u) + self.log_masses, axis=-1)
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
        return jax.nn.softmax(exponents + self.log_masses) @ self.points

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
        return self.latent(jnp.exp(self.log_masses) @ self.points)

    def variance(self) -> Array:
        """[D], of each dimension."""
        masses, places = jnp.exp(self.log_masses), self._places()
        of_u = masses @ jnp.square(places - masses @ places) + self.noise**2
        return jnp.concatenate([of_u, jnp.full(self._n_rest, self._rest**2, of_u.dtype)])

    def stddev(self) -> Array:
        """[D], of each dimension."""
        return jnp.sqrt(self.variance())

    def _sample_n(self, key: Array, n: int) -> Array:
        point_key, noise_key = jax.random.split(key)
        place = jax.random.categorical(point_key, self.log_masses, shape=(n,))
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
    """The base distribution with learned vertices, concentration and noise; see the module.

    What is learned of the vertices is their shape. They are moved and scaled so that Z^T a, a from
    Dir(alpha), has mean 0 and a covariance that is that of the shape under an even law where alpha
    is the same for all: gradients find concentration and place each alone, which otherwise make up
    for one another.
    """

    n_dims: int  # D, at least K - 1
    n_archetypes: int  # K
    n_points: int = 512  # N, at least

    @nn.compact
    def __call__(
        self, label: Array | None = None, temperature: Array | float = 1.0
    ) -> NoisySimplexLaw:
        """A law over [D], whatever the label."""
        del label
        k = self.n_archetypes
        shape = jnp.asarray(self.param("shape", lambda _: jnp.asarray(
            scipy.linalg.helmert(k).T, jnp.float32)))
        log_noise = self.param("log_noise", lambda _: jnp.log(jnp.float32(_FIRST_NOISE)))
        log_concentration = self.param("log_concentration", lambda _: jnp.zeros(k))
        # Of rows that keep to the middle the likelihood may fall towards either end for ever.
        concentration = jnp.clip(jnp.exp(jnp.asarray(log_concentration)), *_CONCENTRATIONS)
        total = concentration.sum()
        mean = jnp.matmul(concentration / total, shape, precision=jax.lax.Precision.HIGHEST)
        points = simplex_points(k, self.n_points)
        return NoisySimplexLaw(
            (shape - mean) * jnp.sqrt((1 + total) / (1 + k)), points.weights,
            points.log_masses(concentration), jnp.exp(log_noise), self.n_dims - k + 1, temperature)
