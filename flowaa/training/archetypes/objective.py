"""What deep archetypes are trained on: the weighted sum of their losses, with a flow or on one.

Parameters are {"flow": the bottleneck's, "heads": those of `ArchetypeHeads`}.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.archetypes.deep import losses
from flowaa.archetypes.deep.heads import ArchetypeHeads, noisy_weights
from flowaa.archetypes.deep.tangents import TangentDistance
from flowaa.bijectors.base import bound
from flowaa.data.batches import Labelled, MaskedBatch
from flowaa.flow.likelihood import bits_per_dim
from flowaa.training.archetypes.bottleneck import Bottleneck
from flowaa.training.example_key import example_key
from flowaa.training.state import Params
from flowaa.training.step import AXIS, Loss, Metrics

Array = jax.Array
Side = Literal["none", "label", "scores"]


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights of the losses; 0 leaves one out, and what only it needs is not computed."""

    nll: float  # of nats per dimension
    archetype: float
    reconstruction: float  # of the mean square in model units (about 1 is all of the variance)
    latent_reconstruction: float  # likewise, of the latent
    side: float
    prototype: float
    volume: float


@dataclasses.dataclass(frozen=True)
class ArchetypeModel:
    """A bottleneck and the heads on it: pure functions of their parameters."""

    bottleneck: Bottleneck
    heads: ArchetypeHeads
    side: Side = "none"
    weight_noise: float = 0.0  # standard deviation, in training
    distance: TangentDistance | None = None  # of reconstructed pictures; None: as values differ

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """Parameters to start from."""
        flow_key, heads_key = jax.random.split(key)
        t = jax.ShapeDtypeStruct((len(x), self.bottleneck.n_features), jnp.float32)
        heads = self.heads.lazy_init(heads_key, t, label)["params"]
        return {"flow": self.bottleneck.init(flow_key, x, label), "heads": heads}

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float
    ) -> Array:
        """What the heads see [B, F] of x [B, *shape] in data units."""
        return self.bottleneck.encode(params["flow"], x, label, noise, None).t

    def weights(
        self, params: Params, x: Array, label: Array | None, noise: Array | float
    ) -> Array:
        """A [B, K] of x [B, *shape] in data units."""
        t = self.encode(params, x, label, noise)
        return bound(self.heads, params["heads"]).weights(t, label)

    def difference(self, found: Array, wanted: Array) -> Array:
        """Of reconstructions found [B, *shape] from those wanted, in model units: what counts."""
        if self.distance is None:
            return found - wanted
        return self.distance.difference(found, wanted)

    def decode_weights(self, params: Params, weights: Array, label: Array | None) -> Array:
        """Data [B, *shape] of weights [B, K]."""
        latent = bound(self.heads, params["heads"]).latent(weights, label)
        y = self.bottleneck.decode(params["flow"], latent, label)
        return self.bottleneck.preprocessing.to_data(y)


def archetype_objective(
    model: ArchetypeModel, weights: LossWeights, *, freeze_flow: bool, with_dropout: bool
) -> Loss:
    """The weighted sum of the losses of deep archetypal analysis (Keller et al. 2020; thesis 2.3).

    Args:
        model: what is trained.
        weights: of the losses.
        freeze_flow: whether the flow is left as it is.
        with_dropout: whether the flow has dropout.

    Returns:
        The loss; its metrics are `nll` (nats), `bits_per_dim`, and each loss in use by name, before
        its weight.
    """
    bottleneck = model.bottleneck

    def loss(
        params: Params, batch: Labelled, example_ids: Array, key: Array
    ) -> tuple[Array, Metrics]:
        noise_key, dropout_key, mixing_key, drawing_key = jax.random.split(key, 4)
        flow = jax.lax.stop_gradient(params["flow"]) if freeze_flow else params["flow"]
        masks = example_key(dropout_key, example_ids[0]) if with_dropout else None
        noise = bottleneck.noise(noise_key, example_ids)
        encoded = bottleneck.encode(flow, batch.x, batch.y, noise, masks)

        heads = bound(model.heads, params["heads"])
        mixed = heads.weights(encoded.t, batch.y)
        if model.weight_noise:
            drawn = normal_noise(mixing_key, example_ids, mixed.shape[1:])
            mixed = noisy_weights(mixed, drawn, model.weight_noise)
        latent = heads.latent(mixed, batch.y)
        found, nll = bottleneck.reconstruct(
            flow, encoded, latent, batch.y, drawing_key, example_ids)
        n_dims = int(np.prod(batch.x.shape[1:]))
        terms = {"nll": nll.mean() / n_dims}
        if weights.archetype:
            selection, vertices = heads.selection_logits(encoded.t, batch.y), heads.vertices()
            # Over examples of all classes, also where each has its own archetypes: a class's few in
            # a batch hold no extreme ones, and weights would be stretched to make up for them.
            terms["archetype"] = losses.archetype_loss(selection, mixed, vertices, AXIS)
        if weights.reconstruction:
            terms["reconstruction"] = losses.mean_square(model.difference(found, encoded.y), 0.0)
        if weights.latent_reconstruction:
            terms["latent_reconstruction"] = losses.mean_square(latent, encoded.t)
        if weights.side and model.side != "none":
            terms["side"] = _side_loss(model, params, mixed, batch)
        if weights.prototype:
            centre = _corners(model, params).mean(1)
            terms["prototype"] = losses.prototype_loss(
                centre, encoded.t, _group(heads, batch.y), AXIS)
        if weights.volume:
            terms["volume"] = losses.volume_loss(_corners(model, params))
        total = sum((getattr(weights, name) * value for name, value in terms.items()),
                    start=jnp.zeros(()))
        mean_nll = nll.mean()
        metrics = {**terms, "nll": mean_nll, "bits_per_dim": bits_per_dim(-mean_nll, n_dims)}
        return total, metrics

    return loss


def archetype_values(model: ArchetypeModel, weights: LossWeights) -> Callable[..., Metrics]:
    """Values per example for `parallel.compile_evaluation`.

    `objective` is the sum of the losses that an example has by itself: negative log-likelihood,
    reconstruction and class. The best checkpoint is the one where it is smallest.
    """
    bottleneck = model.bottleneck

    def values(params: Params, batch: MaskedBatch, key: Array) -> Metrics:
        x, label, ids = batch.x, batch.y, batch.example_ids
        encoded = bottleneck.encode(params["flow"], x, label, bottleneck.noise(key, ids), None)
        heads = bound(model.heads, params["heads"])
        mixed = heads.weights(encoded.t, label)
        latent = heads.latent(mixed, label)
        found, nll = bottleneck.reconstruct(params["flow"], encoded, latent, label, key, ids)
        n_dims = int(np.prod(x.shape[1:]))
        square = jnp.square(model.difference(found, encoded.y)).reshape(len(x), -1).mean(1)
        objective = weights.nll * nll / n_dims + weights.reconstruction * square
        if model.side == "label" and label is not None:
            logits = heads.side(mixed, label)
            log_share = jax.nn.log_softmax(logits)
            objective -= weights.side * jnp.take_along_axis(log_share, label[:, None], 1)[:, 0]
        return {"nll": nll, "reconstruction": square, "objective": objective}

    return values


def normal_noise(key: Array, example_ids: Array, shape: tuple[int, ...]) -> Array:
    """Standard normal noise [B, *shape], each example's from its own id, on any device."""
    keys = jax.vmap(lambda example_id: jax.random.fold_in(key, example_id))(example_ids)
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def _side_loss(model: ArchetypeModel, params: Params, mixed: Array, batch: Labelled) -> Array:
    found = bound(model.heads, params["heads"]).side(mixed, batch.y)
    wanted = batch.y if model.side == "label" else batch.side
    assert wanted is not None
    return (losses.class_loss if model.side == "label" else losses.mean_square)(found, wanted)


def _group(heads: ArchetypeHeads, label: Array | None) -> Array | None:
    """One-hot classes [B, C] where each has its own archetypes."""
    if not heads.n_classes:
        return None
    assert label is not None
    return jax.nn.one_hot(label, heads.n_classes)


def _corners(model: ArchetypeModel, params: Params) -> Array:
    """Latents [C, K, D] of the vertices, of each class or of all."""
    n_sets, k = max(model.heads.n_classes, 1), model.heads.n_archetypes
    weights = jnp.tile(jnp.eye(k), (n_sets, 1))
    label = jnp.repeat(jnp.arange(n_sets), k)
    latent = bound(model.heads, params["heads"]).latent(weights, label)
    return latent.reshape(n_sets, k, -1)
