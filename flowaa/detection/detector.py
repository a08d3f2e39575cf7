"""A detector: a network over standardised data, and what its logits mean."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowaa.bijectors.base import Params, bound

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Detector:
    """Tells outliers from inliers, or classes from one another with a doubt about outliers.

    A discriminator (n_classes = 0) has one logit, of being an outlier. A classifier has one a
    class, and with `rejects` one more, of being none of them.
    """

    network: nn.Module  # [B, *shape] in units of about 1 → [B, n_logits]
    mean: tuple[float, ...]  # of the data, per channel or feature
    std: tuple[float, ...]
    n_classes: int = 0
    rejects: bool = False

    def standardise(self, x: Array) -> Array:
        """What the network sees of x [B, *shape] in data units."""
        return (x.astype(jnp.float32) - jnp.asarray(self.mean)) / jnp.asarray(self.std)

    def logits(self, params: Params, x: Array) -> Array:
        """The network's logits [B, n_logits] of x [B, *shape] in data units."""
        return bound(self.network, params)(self.standardise(x))

    def outlier_logit(self, logits: Array) -> Array:
        """The log-odds [B] of being an outlier: larger is more outlying.

        For a classifier without a class for outliers they are the log-odds that its best guess is
        wrong (Hendrycks & Gimpel 2017).
        """
        if not self.n_classes:
            return logits[:, 0]
        if self.rejects:
            return logits[:, -1] - jax.nn.logsumexp(logits[:, :-1], axis=-1)
        best = jnp.argmax(logits, axis=-1, keepdims=True)
        others = jnp.where(jnp.arange(logits.shape[-1]) == best, -jnp.inf, logits)
        return jax.nn.logsumexp(others, axis=-1) - logits.max(-1)

    def class_log_probs(self, logits: Array) -> Array:
        """log p(class) [B, K], of a classifier; a class for outliers is left out."""
        return jax.nn.log_softmax(logits[:, : self.n_classes])
