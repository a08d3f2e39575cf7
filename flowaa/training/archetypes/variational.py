"""The bottleneck of Keller et al. (2020, IJCV 129), as a baseline: a variational autoencoder.

Heads and losses are those of the flow. The archetypes' point t̂ is the mean of a Gaussian posterior
whose scale the encoder gives; a draw of it is decoded, and the likelihood is the evidence's lower
bound under a standard normal prior and Gaussian noise on the data, of one learned scale.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import bound
from flowaa.flow.likelihood import Preprocessing
from flowaa.training.archetypes.bottleneck import Bottleneck, Encoded, normal_noise
from flowaa.training.state import Params

Array = jax.Array

_DEPTH = 2  # hidden layers of encoder and decoder


class EncoderDecoder(nn.Module):
    """Dense layers to features and from latents, given the class where there are classes."""

    shape: tuple[int, ...]  # of one example
    width: int  # hidden features, and what the heads see
    n_latent: int
    n_classes: int = 0  # 0 = unconditional

    def setup(self) -> None:
        """Makes the layers."""
        self.into = [nn.Dense(self.width) for _ in range(_DEPTH)]
        self.back = [nn.Dense(self.width) for _ in range(_DEPTH)]
        self.to_log_scale = nn.Dense(self.n_latent)
        self.to_data = nn.Dense(int(np.prod(self.shape)))
        # Log standard deviation of the data about what is decoded.
        self.log_noise = self.param("log_noise", nn.initializers.zeros, ())

    def features(self, u: Array, label: Array | None) -> Array:
        """[B, width] of model units u [B, *shape]."""
        hidden = u.reshape(len(u), -1)
        for layer in self.into:
            hidden = nn.relu(layer(self._with_class(hidden, label)))
        return hidden

    def log_scale(self, features: Array) -> Array:
        """Log standard deviations [B, D] of the posterior."""
        return self.to_log_scale(features)

    def decode(self, latent: Array, label: Array | None) -> Array:
        """Model units [B, *shape] of latents [B, D]."""
        hidden = latent
        for layer in self.back:
            hidden = nn.relu(layer(self._with_class(hidden, label)))
        return self.to_data(hidden).reshape(-1, *self.shape)

    def __call__(self, u: Array, label: Array | None) -> Array:
        """Touches every parameter, so that `init` makes them all."""
        return self.decode(self.log_scale(self.features(u, label)), label)

    def _with_class(self, hidden: Array, label: Array | None) -> Array:
        if not self.n_classes:
            return hidden
        assert label is not None, "this encoder is conditional"
        return jnp.concatenate([hidden, jax.nn.one_hot(label, self.n_classes)], axis=-1)


class VariationalBottleneck(Bottleneck):
    """An encoder and decoder in the place of a flow."""

    def __init__(self, network: EncoderDecoder, preprocessing: Preprocessing) -> None:
        """The features are the encoder's, the latent is the posterior's."""
        self._network, self.preprocessing = network, preprocessing
        self.n_features, self.n_latent = network.width, network.n_latent
        self.shape = network.shape

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """Parameters to start from."""
        u, _ = self.preprocessing.to_model(x, 0.0)
        return self._network.lazy_init(key, *jax.eval_shape(lambda: (u, label)))["params"]

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        dropout_key: Array | None,
    ) -> Encoded:
        """Features of the encoder."""
        del dropout_key
        u, log_volume = self.preprocessing.to_model(x, noise)
        return Encoded(u, bound(self._network, params).features(u, label), log_volume)

    def decode(self, params: Params, latent: Array, label: Array | None) -> Array:
        """Model units of latents."""
        return bound(self._network, params).decode(latent, label)

    def reconstruct(
        self, params: Params, encoded: Encoded, latent: Array, label: Array | None, key: Array,
        example_ids: Array,
    ) -> tuple[Array, Array]:
        """Decodes a draw of each posterior; the negative evidence lower bound [B] in nats."""
        log_scale = bound(self._network, params).log_scale(encoded.t)
        draws = normal_noise(key, example_ids, latent.shape[1:])
        decoded = self.decode(params, latent + jnp.exp(log_scale) * draws, label)
        divergence = 0.5 * (jnp.square(latent) + jnp.exp(2 * log_scale) - 1.0) - log_scale
        log_noise = params["log_noise"]
        deviation = (decoded - encoded.u).reshape(len(latent), -1) * jnp.exp(-log_noise)
        negative_log = 0.5 * jnp.square(deviation) + 0.5 * np.log(2 * np.pi) + log_noise
        return decoded, negative_log.sum(1) + divergence.sum(1) - encoded.log_prob
