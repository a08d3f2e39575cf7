"""From data units to the model's and back, and what a density is measured by (thesis 2.7 to 2.10).

Discrete data, levels 0 … n - 1, is dequantised: the model's density p(x + u) over u in [0, 1)^D
bounds the probability of the level from below, log P(x) >= E log p(x + u) (Theis et al. 2016). The
same density is used in training and in evaluation, and every change of units adds its log-volume,
so that a log-probability is in nats per example in the data's own units.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


class Preprocessing(Protocol):
    """An invertible map from data units to the model's."""

    @property
    def is_discrete(self) -> bool:
        """Whether `to_model` wants dequantisation noise."""
        ...

    def to_model(self, x: Array, noise: Array | float) -> tuple[Array, Array]:
        """Model units y of data x [B, ...], and log|det dy/dx| [B]."""
        ...

    def to_data(self, y: Array) -> Array:
        """Data units of y [B, ...]; discrete data comes back as its levels, uint8."""
        ...


@dataclasses.dataclass(frozen=True)
class Dequantise:
    """Levels 0 … n_levels - 1, with noise in [0, 1), to standardised or logit units.

    y = (x + u - mean) / std, or with alpha > 0 y = logit(alpha + (1 - 2 alpha) (x + u) / n_levels)
    (Dinh et al. 2017, 4.1).
    """

    n_levels: int
    mean: tuple[float, ...]  # per channel or feature, of x + u
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
        return log_share - log_rest, _sum_per_example(log_slope)

    def to_data(self, y: Array) -> Array:
        """See `Preprocessing`: rounds down to the level a point belongs to."""
        if self.logit_alpha:
            share = (jax.nn.sigmoid(y) - self.logit_alpha) / (1 - 2 * self.logit_alpha)
            x = share * self.n_levels
        else:
            x = y * jnp.asarray(self.std, y.dtype) + jnp.asarray(self.mean, y.dtype)
        return jnp.clip(jnp.floor(x), 0, self.n_levels - 1).astype(jnp.uint8)


@dataclasses.dataclass(frozen=True)
class Standardise:
    """Continuous data to zero mean and unit variance in each feature or channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_discrete: bool = dataclasses.field(default=False, init=False)

    def to_model(self, x: Array, noise: Array | float) -> tuple[Array, Array]:
        """See `Preprocessing`; continuous data has no use for noise."""
        del noise
        return _standardise(x, self.mean, self.std)

    def to_data(self, y: Array) -> Array:
        """See `Preprocessing`."""
        return y * jnp.asarray(self.std, y.dtype) + jnp.asarray(self.mean, y.dtype)


# In float32 a point closer than this to the edge of one of 256 levels can be rounded across it. To
# keep the noise away moves two draws of ten thousand by this little: no figure shows it.
_EDGE = 1e-4


def dequantisation_noise(key: Array, example_ids: Array, shape: tuple[int, ...]) -> Array:
    """Uniform noise [B, *shape] in (0, 1), each example's from its own id.

    So an example has the same noise wherever it is computed, on one device or on eight.
    """
    keys = jax.vmap(lambda example_id: jax.random.fold_in(key, example_id))(example_ids)
    noise = jax.vmap(lambda key: jax.random.uniform(key, shape))(keys)
    return jnp.clip(noise, _EDGE, 1.0 - _EDGE)


def bits_per_dim(log_prob: Array, n_dims: int) -> Array:
    """-log p / (D ln 2), of log-probabilities in nats."""
    return -log_prob / (n_dims * np.log(2.0))


def importance_bound(log_probs: Array) -> Array:
    """log mean_k p(x + u_k) [B] of K dequantisation samples' log-probabilities [K, B].

    It lies between the mean of the K and log P(x), and rises to it with K (Burda et al. 2016).
    """
    return jax.nn.logsumexp(log_probs, axis=0) - np.log(log_probs.shape[0])


def _standardise(
    x: Array, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Array, Array]:
    y = (x - jnp.asarray(mean, x.dtype)) / jnp.asarray(std, x.dtype)
    n_repeats = int(np.prod(x.shape[1:])) // len(std)  # pixels that share a channel's scale
    return y, jnp.full(x.shape[0], -n_repeats * np.log(std).sum(), x.dtype)


def _sum_per_example(values: Array) -> Array:
    return values.reshape(values.shape[0], -1).sum(axis=1)
