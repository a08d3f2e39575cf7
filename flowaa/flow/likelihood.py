"""From data units x to the model's units u and back, and bits per dimension (thesis 2.7 to 2.10).

Discrete data, levels 0 … n - 1, is dequantised: for noise v uniform in [0, 1)^D,
log P(x) >= E log p(x + v) (Theis et al. 2016, arXiv 1511.01844). Training and evaluation use the
same density, and log|det du/dx| is added to it, so that a log-probability is in nats per example in
the data's own units. All is computed in float32, integer and float64 rows too.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import sum_per_example

Array = jax.Array


class Preprocessing(Protocol):
    """An invertible map from data units to the model's."""

    @property
    def is_discrete(self) -> bool:
        """Whether `to_model` adds dequantisation noise."""
        ...

    def to_model(self, x: Array, noise: Array | float) -> tuple[Array, Array]:
        """Model units u, float32, of data x [B, ...], and log|det du/dx| [B]."""
        ...

    def to_data(self, u: Array) -> Array:
        """Data units of u [B, ...]; discrete data comes back as its levels, uint8."""
        ...


@dataclasses.dataclass(frozen=True)
class Dequantise:
    """Levels 0 … n_levels - 1, with noise in [0, 1), to standardised or logit units.

    u = (x + v - mean) / std, or with alpha > 0 u = logit(alpha + (1 - 2 alpha) (x + v) / n_levels)
    (Dinh et al. 2017, arXiv 1605.08803, 4.1), for noise v.
    """

    n_levels: int
    mean: tuple[float, ...]  # per channel or feature, of x + v
    std: tuple[float, ...]
    logit_alpha: float = 0.0
    is_discrete: bool = dataclasses.field(default=True, init=False)

    def to_model(self, x: Array, noise: Array | float) -> tuple[Array, Array]:
        """See `Preprocessing`."""
        x = x.astype(jnp.float32) + noise
        if not self.logit_alpha:
            return _standardise(x, self.mean, self.std)
        share = self.logit_alpha + (1 - 2 * self.logit_alpha) * x / self.n_levels
        log_share, log_rest = jnp.log(share), jnp.log1p(-share)
        log_slope = np.log((1 - 2 * self.logit_alpha) / self.n_levels) - log_share - log_rest
        return log_share - log_rest, sum_per_example(log_slope)

    def to_data(self, u: Array) -> Array:
        """See `Preprocessing`: rounds down to the level a point belongs to."""
        if self.logit_alpha:
            share = (jax.nn.sigmoid(u) - self.logit_alpha) / (1 - 2 * self.logit_alpha)
            x = share * self.n_levels
        else:
            x = u * jnp.asarray(self.std, u.dtype) + jnp.asarray(self.mean, u.dtype)
        return jnp.clip(jnp.floor(x), 0, self.n_levels - 1).astype(jnp.uint8)


@dataclasses.dataclass(frozen=True)
class Standardise:
    """Continuous data to zero mean and unit variance in each feature or channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_discrete: bool = dataclasses.field(default=False, init=False)

    def to_model(self, x: Array, noise: Array | float) -> tuple[Array, Array]:
        """See `Preprocessing`; noise is not added to continuous data."""
        del noise
        return _standardise(x.astype(jnp.float32), self.mean, self.std)

    def to_data(self, u: Array) -> Array:
        """See `Preprocessing`."""
        return u * jnp.asarray(self.std, u.dtype) + jnp.asarray(self.mean, u.dtype)


# In float32 a point closer than this to the edge of one of 256 levels can be rounded across it.
# Two draws of ten thousand are moved, by at most this much.
_EDGE = 1e-4


def dequantisation_noise(key: Array, example_ids: Array, shape: tuple[int, ...]) -> Array:
    """Uniform noise [B, *shape] in (0, 1), each example's from its own id.

    An example has the same noise on whatever device it is computed.
    """
    keys = jax.vmap(lambda example_id: jax.random.fold_in(key, example_id))(example_ids)
    noise = jax.vmap(lambda key: jax.random.uniform(key, shape))(keys)
    return jnp.clip(noise, _EDGE, 1.0 - _EDGE)


def bits_per_dim(log_prob: Array, n_dims: int) -> Array:
    """-log p / (D ln 2), of log-probabilities in nats."""
    return -log_prob / (n_dims * np.log(2.0))


def importance_bound(log_probs: Array) -> Array:
    """log mean_k p(x + v_k) [B] of K dequantisation samples' log-probabilities [K, B].

    In expectation it lies between E log p(x + v) and log P(x), and rises to the latter with K
    (Burda et al. 2016, arXiv 1509.00519).
    """
    return jax.nn.logsumexp(log_probs, axis=0) - np.log(log_probs.shape[0])


def _standardise(
    x: Array, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Array, Array]:
    u = (x - jnp.asarray(mean, x.dtype)) / jnp.asarray(std, x.dtype)
    n_repeats = int(np.prod(x.shape[1:])) // len(std)  # pixels that share a channel's scale
    return u, jnp.full(x.shape[0], -n_repeats * np.log(std).sum(), x.dtype)
