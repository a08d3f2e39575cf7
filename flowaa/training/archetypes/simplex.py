"""Archetypes of a flow whose base distribution is a noisy simplex: pure functions of parameters.

There are no heads: the flow's own parameters are all there are. See `flowaa.flow.noisy_simplex`.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from flowaa.bijectors.base import bound
from flowaa.flow.density import Density
from flowaa.flow.noisy_simplex import NoisySimplex, NoisySimplexLaw
from flowaa.training.state import Params

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class SimplexModel:
    """What a run asks of archetypes, of a density with a `NoisySimplex` base."""

    density: Density
    n_classes: ClassVar[int] = 0  # all classes share the archetypes
    distance: ClassVar[None] = None  # rows are compared by their likelihood

    @property
    def n_archetypes(self) -> int:
        """K."""
        base = self.density.flow.base
        assert isinstance(base, NoisySimplex)
        return base.n_archetypes

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """Parameters to start from, the flow's."""
        return self.density.init(key, x, label)

    def vertices(self, params: Params) -> Array:
        """Z [K, K - 1]."""
        return self._law(params).vertices

    def corners(self, params: Params) -> Array:
        """Latents [1, K, D] of the vertices, the rest at its mean."""
        return self._law(params).latent(jnp.eye(self.n_archetypes))[None]

    def weights(
        self, params: Params, x: Array, label: Array | None, noise: Array | float
    ) -> Array:
        """The posterior mean A [B, K] of the weights of x [B, *shape] in data units."""
        z, _ = self.density.encode(params, x, label, noise)
        return self._law(params).weights(z)

    def decode_weights(self, params: Params, weights: Array, label: Array | None) -> Array:
        """Data [B, *shape] of weights [B, K], the rest of the latent at its mean."""
        return self.density.decode(params, self._law(params).latent(weights), label)

    def with_weights(
        self, params: Params, x: Array, weights: Array, label: Array | None, noise: Array | float
    ) -> Array:
        """x [B, *shape] moved to weights [B, K]; what its own leave of it in the latent stays."""
        law = self._law(params)
        z, _ = self.density.encode(params, x, label, noise)
        return self.density.decode(params, law.with_weights(z, weights), label)

    def _law(self, params: Params) -> NoisySimplexLaw:
        law = bound(self.density.flow, params).base()
        assert isinstance(law, NoisySimplexLaw)
        return law
