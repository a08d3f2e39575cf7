"""Points of a simplex that stand for all of it, and what share of a Dirichlet law each carries."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy import special, stats

Array = jax.Array

_LEAST_WEIGHT = 1e-6  # of a point; the logarithm of less would rule the masses


@dataclasses.dataclass(frozen=True)
class SimplexPoints:
    """A quasi-random sample of the simplex.

    Half of the points are even on it, half of Dir(1/K, ..., 1/K), which are near faces and corners,
    so that by weighting them (`log_masses`) they stand for flat, sparse and middling laws alike.
    Each comes with all its K rotations: no archetype is favoured.

    Attributes:
        weights: [N, K] float32; rows sum to one.
        log_proposal: [N] float32, log density of the law that the points are drawn from.
    """

    weights: np.ndarray
    log_proposal: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.weights)

    def log_masses(self, concentration: ArrayLike) -> Array:
        """Logarithms [N] of the shares of Dir(alpha), alpha [K], that the points carry.

        Their exponentials sum to one: importance weights of the sample, normalised.
        """
        log_density = jnp.log(self.weights) @ (jnp.asarray(concentration) - 1.0)
        return jax.nn.log_softmax(log_density - self.log_proposal)


@functools.lru_cache
def simplex_points(n_archetypes: int, n: int) -> SimplexPoints:
    """N >= n points of the simplex of K archetypes, always the same.

    N is K times a power of two, at least 2 K: Sobol's sequence, each number in the middle of its
    cell, goes through the quantiles of the beta laws by which a stick of length one is broken.

    >>> points = simplex_points(3, 500)
    >>> points.weights.shape
    (768, 3)
    """
    proposals = (1.0, 1.0 / n_archetypes)
    n_bits = max(int(np.ceil(np.log2(n / (n_archetypes * len(proposals))))), 0)
    sobol = stats.qmc.Sobol(n_archetypes - 1, scramble=False).random_base2(n_bits)
    shares = sobol + 0.5 ** (n_bits + 1)
    weights = np.concatenate([_broken_sticks(shares, alpha) for alpha in proposals])
    weights = np.maximum(weights, _LEAST_WEIGHT)
    weights /= weights.sum(1, keepdims=True)
    weights = np.concatenate([np.roll(weights, shift, axis=1) for shift in range(n_archetypes)])
    log_proposal = special.logsumexp([
        stats.dirichlet(np.full(n_archetypes, alpha)).logpdf(weights.T) for alpha in proposals],
        axis=0) - np.log(len(proposals))
    return SimplexPoints(weights.astype(np.float32), log_proposal.astype(np.float32))


def _broken_sticks(shares: np.ndarray, concentration: float) -> np.ndarray:
    """Weights [n, K] of Dir(alpha, ..., alpha), of uniform numbers [n, K - 1]."""
    n, n_breaks = shares.shape
    weights, rest = np.empty((n, n_breaks + 1)), np.ones(n)
    for index in range(n_breaks):
        n_left = n_breaks - index
        broken = stats.beta.ppf(shares[:, index], concentration, n_left * concentration)
        weights[:, index], rest = rest * broken, rest * (1.0 - broken)
    weights[:, -1] = rest
    return weights
