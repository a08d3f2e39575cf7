"""A detector: a network over standardised data and a flow's evidence, and what its logits mean."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowaa.bijectors.base import Params, bound
from flowaa.detection.evidence import EvidenceScale

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class FlowEvidence:
    """What a flow says of rows, in two scales.

    The flow was trained on the training rows, which it finds more probable than any others; each
    kind of rows is standardised by its own quantiles, so that training rows look to the network
    as held-out rows will.
    """

    # The flow's parameters and x [B, *shape] → −log p(x) in nats and the latent norm, [B, 2].
    statistics: Callable[[Params, Array], Array]
    held_out: EvidenceScale  # of validation rows; for all rows but those the flow was trained on
    seen: EvidenceScale  # of training rows


@dataclasses.dataclass(frozen=True)
class DetectorModel:
    """Tells outliers from inliers, or classes from one another with a doubt about outliers.

    A discriminator (n_classes = 0) has one logit, of being an outlier. A classifier has one for
    each class, and with `rejects` one more, of being none of them. Parameters are {"network",
    "flow"}; the flow's are read where there is evidence.
    """

    network: nn.Module  # [B, *shape] in units of about 1, evidence [B, 2] → [B, n_logits]
    mean: tuple[float, ...]  # of the data, per channel or feature
    std: tuple[float, ...]
    n_classes: int = 0
    rejects: bool = False
    evidence: FlowEvidence | None = None

    def inputs(
        self, params: Params, x: Array, *, seen: Array | None = None
    ) -> tuple[Array, ...]:
        """What the network sees of x [B, *shape] in data units.

        Args:
            params: the detector's; only "flow" is read.
            x: rows.
            seen: [B] whether a row is one that the flow was trained on; None if none is.
        """
        x = x.astype(jnp.float32)
        standard = (x - jnp.asarray(self.mean)) / jnp.asarray(self.std)
        if self.evidence is None:
            return (standard,)
        # A gradient of the flow's parameters would be computed and thrown away.
        statistics = self.evidence.statistics(jax.lax.stop_gradient(params["flow"]), x)
        scaled = self.evidence.held_out(statistics)
        if seen is not None:
            scaled = jnp.where(seen[:, None], self.evidence.seen(statistics), scaled)
        return standard, scaled

    def logits(self, params: Params, x: Array, *, seen: Array | None = None) -> Array:
        """The network's logits [B, n_logits]; arguments as in `inputs`."""
        return bound(self.network, params["network"])(*self.inputs(params, x, seen=seen))

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
