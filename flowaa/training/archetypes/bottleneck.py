"""The encoder and decoder between which archetypes are sought: a flow, or another in its place."""

import abc
from typing import NamedTuple

import jax

from flowaa.bijectors.base import bound
from flowaa.flow.density import Density
from flowaa.flow.likelihood import Preprocessing, dequantisation_noise
from flowaa.training.state import Params

Array = jax.Array


class Encoded(NamedTuple):
    """A batch, encoded."""

    u: Array  # [B, *shape] the data in model units
    t: Array  # [B, F] features that the heads read
    log_prob: Array  # [B] nats: a flow's log p(x | label); of another encoder, log|du/dx| alone
    marginal: Array | None = None  # [B] nats, log p(x), of a flow whose base mixes classes


class Bottleneck(abc.ABC):
    """An encoder and a decoder, and the likelihood they have."""

    n_features: int  # F, that the heads read
    n_latent: int  # D, of a latent that can be decoded
    shape: tuple[int, ...]  # of an example
    preprocessing: Preprocessing  # between data units and the model's

    @abc.abstractmethod
    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """Parameters to start from; x is a global batch."""

    def noise(self, key: Array, example_ids: Array) -> Array | float:
        """Dequantisation noise [B, *shape] of discrete data, or 0."""
        if not self.preprocessing.is_discrete:
            return 0.0
        return dequantisation_noise(key, example_ids, self.shape)

    @abc.abstractmethod
    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        dropout_key: Array | None,
    ) -> Encoded:
        """Encodes x [B, *shape] in data units."""

    @abc.abstractmethod
    def decode(self, params: Params, latent: Array, label: Array | None) -> Array:
        """Model units [B, *shape] of latents [B, D]."""

    @abc.abstractmethod
    def reconstruct(
        self, params: Params, encoded: Encoded, latent: Array, label: Array | None, key: Array,
        example_ids: Array,
    ) -> tuple[Array, Array]:
        """Model units [B, *shape] of the archetypes' latents [B, D]; −log p(x) [B] in nats."""


class FlowBottleneck(Bottleneck):
    """A flow: decodes exactly what it encodes; its likelihood does not involve the archetypes."""

    def __init__(self, density: Density) -> None:
        """The features are the latent."""
        self._density, self._flow = density, density.flow
        self.n_features = self.n_latent = density.flow.n_dims
        self.shape, self.preprocessing = density.flow.shape, density.preprocessing

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """The flow's parameters."""
        return self._density.init(key, x, label)

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        dropout_key: Array | None,
    ) -> Encoded:
        """The latent, with the likelihood."""
        u, log_volume = self.preprocessing.to_model(x, noise)
        t, log_det = bound(self._flow, params, dropout_key=dropout_key).encode(u, label)
        log_det += log_volume
        log_prob = bound(self._flow, params).latent_log_prob(t, label) + log_det
        if label is None or not self._density.mixes_classes:
            return Encoded(u, t, log_prob)
        marginal = bound(self._flow, params).latent_log_prob(t) + log_det
        return Encoded(u, t, log_prob, marginal)

    def decode(self, params: Params, latent: Array, label: Array | None) -> Array:
        """The flow's inverse."""
        return bound(self._flow, params).decode(latent, label)[0]

    def reconstruct(
        self, params: Params, encoded: Encoded, latent: Array, label: Array | None, key: Array,
        example_ids: Array,
    ) -> tuple[Array, Array]:
        """Decodes the latents as they are."""
        del key, example_ids
        return self.decode(params, latent, label), -encoded.log_prob


def normal_noise(key: Array, example_ids: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal noise [B, *shape], each example's from its own id, on any device."""
    keys = jax.vmap(lambda example_id: jax.random.fold_in(key, example_id))(example_ids)
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)
