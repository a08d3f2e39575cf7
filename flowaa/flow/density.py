"""A flow over data: preprocessing and flow together, as pure functions of the parameters.

Training, evaluation and analysis all go through this one density.
"""

import dataclasses

import distrax
import jax
import jax.numpy as jnp

from flowaa.bijectors.base import Params, bound
from flowaa.flow.flow import Flow
from flowaa.flow.likelihood import Preprocessing, dequantisation_noise

Array = jax.Array

MIDDLE_OF_LEVEL = 0.5  # the noise that stands for a level where no noise is drawn


@dataclasses.dataclass(frozen=True)
class Density:
    """p(x) of data x [B, *shape] in data units, given parameters."""

    flow: Flow
    preprocessing: Preprocessing

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """Parameters to start from; those that depend on data are set from x, a global batch."""
        u, _ = self.preprocessing.to_model(x, MIDDLE_OF_LEVEL)
        return self.flow.init(key, u, label).get("params", {})

    def noise(self, key: Array, example_ids: Array) -> Array | float:
        """Dequantisation noise [B, *shape], or nothing where the data is continuous."""
        if not self.preprocessing.is_discrete:
            return 0.0
        return dequantisation_noise(key, example_ids, self.flow.shape)

    def log_prob(
        self,
        params: Params,
        x: Array,
        label: Array | None,
        noise: Array | float,
        dropout_key: Array | None = None,
    ) -> Array:
        """log p(x + noise) [B] in nats; a dropout key makes it the training mode."""
        u, log_volume = self.preprocessing.to_model(x, noise)
        return bound(self.flow, params, dropout_key=dropout_key).log_prob(u, label) + log_volume

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float
    ) -> tuple[Array, Array]:
        """Latent [B, D] and log|det dz/dx| [B], of data units."""
        u, log_volume = self.preprocessing.to_model(x, noise)
        z, log_det = bound(self.flow, params).encode(u, label)
        return z, log_det + log_volume

    def decode(self, params: Params, z: Array, label: Array | None) -> Array:
        """Data [B, *shape] of latent z [B, D]."""
        u, _ = bound(self.flow, params).decode(z, label)
        return self.preprocessing.to_data(u)

    def sample(
        self, params: Params, key: Array, n: int, label: Array | None, temperature: float
    ) -> Array:
        """n draws [n, *shape]."""
        z = bound(self.flow, params).sample_latent(key, n, label, temperature)
        return self.decode(params, z, label)


class DensityDistribution(distrax.Distribution):
    """A trained density as a distrax distribution over one example.

    log_prob of discrete data dequantises at the middle of each level; `Run.log_prob` draws noise.
    """

    def __init__(self, density: Density, params: Params, label: int | None) -> None:
        """`label` is one class index, or None."""
        self._density, self._params, self._label = density, params, label

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self._density.flow.shape

    def _sample_n(self, key: Array, n: int) -> Array:
        return self._density.sample(self._params, key, n, self._labels(n), 1.0)

    def log_prob(self, value: Array) -> Array:
        """log p of examples [..., *shape]."""
        batch = value.shape[: value.ndim - len(self.event_shape)]
        x = value.reshape(-1, *self.event_shape)
        labels = self._labels(x.shape[0])
        return self._density.log_prob(self._params, x, labels, MIDDLE_OF_LEVEL).reshape(batch)

    def _labels(self, n: int) -> Array | None:
        return None if self._label is None else jnp.full(n, self._label, jnp.int32)
