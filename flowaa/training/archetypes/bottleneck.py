"""What archetypes are sought in: the latent of a flow, which loses nothing.

The archetypes' objective sees an encoder and decoder through this file alone, so that another
bottleneck can take the flow's place with the same heads and losses.
"""

import dataclasses
from typing import NamedTuple, Protocol

import jax

from flowaa.bijectors.base import bound
from flowaa.flow.density import Density
from flowaa.flow.likelihood import Preprocessing
from flowaa.training.state import Params

Array = jax.Array


class Encoded(NamedTuple):
    """A batch on its way through."""

    y: Array  # [B, *shape] model units
    t: Array  # [B, F] what the heads see
    log_volume: Array  # [B] nats: of the change of units and, of a flow, of the latent's density


class Bottleneck(Protocol):
    """An encoder and a decoder, and the likelihood they have."""

    @property
    def n_features(self) -> int:
        """F, what the heads see of an example."""
        ...

    @property
    def n_latent(self) -> int:
        """D, what is decoded."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """Between data units and the model's."""
        ...

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """Parameters to start from; x is a global batch."""
        ...

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        dropout_key: Array | None,
    ) -> Encoded:
        """Encodes x [B, *shape] in data units."""
        ...

    def noise(self, key: Array, example_ids: Array) -> Array | float:
        """Dequantisation noise."""
        ...

    def decode(self, params: Params, latent: Array, label: Array | None) -> Array:
        """Model units [B, *shape] of latents [B, D]."""
        ...

    def reconstruct(
        self, params: Params, encoded: Encoded, latent: Array, label: Array | None, key: Array,
        example_ids: Array,
    ) -> tuple[Array, Array]:
        """What latents [B, D] of the archetypes decode to, and −log p [B] in nats of the data."""
        ...


@dataclasses.dataclass(frozen=True)
class FlowBottleneck:
    """A flow: decodes exactly what it encodes, and knows the density of both."""

    density: Density

    @property
    def n_features(self) -> int:
        """See `Bottleneck`."""
        return self.density.flow.n_dims

    @property
    def n_latent(self) -> int:
        """See `Bottleneck`."""
        return self.density.flow.n_dims

    @property
    def preprocessing(self) -> Preprocessing:
        """See `Bottleneck`."""
        return self.density.preprocessing

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """See `Bottleneck`."""
        return self.density.init(key, x, label)

    def noise(self, key: Array, example_ids: Array) -> Array | float:
        """See `Bottleneck`."""
        return self.density.noise(key, example_ids)

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        dropout_key: Array | None,
    ) -> Encoded:
        """See `Bottleneck`."""
        flow = self.density.flow
        y, log_volume = self.preprocessing.to_model(x, noise)
        t, log_det = bound(flow, params, dropout_key=dropout_key).encode(y, label)
        log_prob = bound(flow, params).latent_log_prob(t, label)
        return Encoded(y, t, log_prob + log_det + log_volume)

    def decode(self, params: Params, latent: Array, label: Array | None) -> Array:
        """See `Bottleneck`."""
        return bound(self.density.flow, params).decode(latent, label)[0]

    def reconstruct(
        self, params: Params, encoded: Encoded, latent: Array, label: Array | None, key: Array,
        example_ids: Array,
    ) -> tuple[Array, Array]:
        """See `Bottleneck`; the likelihood has nothing to do with the archetypes."""
        del key, example_ids
        return self.decode(params, latent, label), -encoded.log_volume
