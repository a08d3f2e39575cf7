"""What deep archetypes are trained on and selected by: the weighted sum of their losses.

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
from flowaa.training.archetypes.bottleneck import Bottleneck, normal_noise
from flowaa.training.example_key import example_key
from flowaa.training.state import Params
from flowaa.training.step import AXIS, Loss, Metrics

Array = jax.Array
Side = Literal["none", "label", "scores"]


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weights of the losses; 0 leaves one out, and what only it needs is not computed."""

    nll: float = 0.0  # of nats per dimension
    archetype: float = 0.0
    reconstruction: float = 0.0  # of the mean square in model units (1 is about all variance)
    latent_reconstruction: float = 0.0  # likewise, of the latent
    side: float = 0.0
    prototype: float = 0.0
    volume: float = 0.0

    def total(self, terms: dict[str, Array], n_dims: int) -> Array:
        """Σ weight · loss, of losses by name; `nll` in nats of examples with D dimensions.

        Where there is a `conditional_nll`, this is trained, and `nll` only reported.
        """
        trained = {name: value for name, value in terms.items() if name != "conditional_nll"}
        trained["nll"] = terms.get("conditional_nll", terms["nll"]) / n_dims
        return jnp.asarray(sum(getattr(self, name) * value for name, value in trained.items()))


@dataclasses.dataclass(frozen=True)
class ArchetypeModel:
    """A bottleneck and the heads on it: pure functions of their parameters."""

    bottleneck: Bottleneck
    heads: ArchetypeHeads
    side: Side = "none"
    weight_noise: float = 0.0  # standard deviation of noise on the weights, in training
    distance: TangentDistance | None = None  # between pictures; None: pixel by pixel

    @property
    def n_archetypes(self) -> int:
        """K."""
        return self.heads.n_archetypes

    @property
    def n_classes(self) -> int:
        """How many classes have archetypes of their own; 0 where all share them."""
        return self.heads.n_classes

    def vertices(self, params: Params) -> Array:
        """Z [K, L]."""
        return bound(self.heads, params["heads"]).vertices()

    def corners(self, params: Params) -> Array:
        """Latents [G, K, D] of the vertices; G sets, one a class, or one of all."""
        return bound(self.heads, params["heads"]).corners()

    def init(self, key: Array, x: Array, label: Array | None) -> Params:
        """Parameters to start from."""
        flow_key, heads_key = jax.random.split(key)
        t = jax.ShapeDtypeStruct((len(x), self.bottleneck.n_features), jnp.float32)
        heads = self.heads.lazy_init(heads_key, t, label)["params"]
        return {"flow": self.bottleneck.init(flow_key, x, label), "heads": heads}

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float
    ) -> Array:
        """Features [B, F] that the heads read, of x [B, *shape] in data units."""
        return self.bottleneck.encode(params["flow"], x, label, noise, None).t

    def weights(
        self, params: Params, x: Array, label: Array | None, noise: Array | float
    ) -> Array:
        """A [B, K] of x [B, *shape] in data units."""
        t = self.encode(params, x, label, noise)
        return bound(self.heads, params["heads"]).weights(t, label)

    def decode_weights(self, params: Params, weights: Array, label: Array | None) -> Array:
        """Data [B, *shape] of weights [B, K]."""
        latent = bound(self.heads, params["heads"]).latent(weights, label)
        u = self.bottleneck.decode(params["flow"], latent, label)
        return self.bottleneck.preprocessing.to_data(u)


def archetype_objective(
    model: ArchetypeModel, weights: LossWeights, *, freeze_flow: bool, with_dropout: bool
) -> Loss:
    """The weighted sum of the losses of deep archetypal analysis (Keller et al. 2020; thesis 2.3).

    Args:
        model: what is trained.
        weights: of the losses.
        freeze_flow: whether the flow's parameters are constants.
        with_dropout: whether the flow has dropout.

    Returns:
        The loss; its metrics are `nll` (nats) and `bits_per_dim` of p(x), where the base mixes
        classes also `conditional_nll` and `conditional_bits_per_dim` of p(x | label), and each loss
        in use by name, before its weight.
    """

    def loss(
        params: Params, batch: Labelled, example_ids: Array, key: Array
    ) -> tuple[Array, Metrics]:
        if freeze_flow:
            params = {**params, "flow": jax.lax.stop_gradient(params["flow"])}
        terms = _terms(model, weights, params, batch, example_ids, key,
                       weight_noise=model.weight_noise, with_dropout=with_dropout)
        terms = {name: value.mean() for name, value in terms.items()}
        n_dims = int(np.prod(batch.x.shape[1:]))
        return weights.total(terms, n_dims), terms | {
            name.replace("nll", "bits_per_dim"): bits_per_dim(-terms[name], n_dims)
            for name in ("nll", "conditional_nll") if name in terms}

    return loss


def archetype_values(model: ArchetypeModel, weights: LossWeights) -> Callable[..., Metrics]:
    """Values per example for `parallel.compile_evaluation`.

    `loss` is the weighted sum that is trained, without dropout and noise on the weights; the best
    checkpoint is the one where it is smallest. A loss of the whole batch (`archetype`, `prototype`,
    `volume`) counts for each of its examples alike.
    """

    def values(params: Params, batch: MaskedBatch, key: Array) -> Metrics:
        n_dims = int(np.prod(batch.x.shape[1:]))
        terms = _terms(model, weights, params, Labelled(batch.x, batch.y, batch.side),
                       batch.example_ids, key, mask=batch.mask)
        terms = {name: jnp.broadcast_to(value, len(batch.x)) for name, value in terms.items()}
        return {**terms, "loss": weights.total(terms, n_dims)}

    return values


def _terms(
    model: ArchetypeModel, weights: LossWeights, params: Params, batch: Labelled,
    example_ids: Array, key: Array, *, weight_noise: float = 0.0, with_dropout: bool = False,
    mask: Array | None = None,
) -> dict[str, Array]:
    """The losses in use by name, before their weights: [B] of each example, or [] of the batch.

    `nll` is in nats, of p(x); where the base mixes classes, `conditional_nll` is of p(x | label).
    Rows where mask [B] is False are left out of the batch's losses.
    """
    heads, bottleneck = bound(model.heads, params["heads"]), model.bottleneck
    noise_key, dropout_key, mixing_key, drawing_key = jax.random.split(key, 4)
    masks = example_key(dropout_key, example_ids[0]) if with_dropout else None
    noise = bottleneck.noise(noise_key, example_ids)
    encoded = bottleneck.encode(params["flow"], batch.x, batch.y, noise, masks)

    mixture = heads.weights(encoded.t, batch.y)
    if weight_noise:
        drawn = normal_noise(mixing_key, example_ids, mixture.shape[1:])
        mixture = noisy_weights(mixture, drawn, weight_noise)
    latent = heads.latent(mixture, batch.y)
    decoded, nll = bottleneck.reconstruct(
        params["flow"], encoded, latent, batch.y, drawing_key, example_ids)
    terms = {"nll": nll}
    if encoded.marginal is not None:
        terms = {"nll": -encoded.marginal, "conditional_nll": nll}
    if weights.archetype:
        selection = heads.selection_logits(encoded.t, batch.y)
        if mask is not None:
            selection = jnp.where(mask[:, None], selection, -jnp.inf)
        vertices = heads.vertices()
        # Over examples of all classes, also where each has its own archetypes: a class's few in a
        # batch hold no extreme ones, and weights would be stretched to make up for them.
        terms["archetype"] = losses.archetype_loss(selection, mixture, vertices, AXIS)
    if weights.reconstruction:
        difference = (decoded - encoded.u if model.distance is None
                      else model.distance.difference(decoded, encoded.u))
        terms["reconstruction"] = losses.mean_square(difference, 0.0)
    if weights.latent_reconstruction:
        terms["latent_reconstruction"] = losses.mean_square(latent, encoded.t)
    if weights.side and model.side != "none":
        predicted = heads.side(mixture, batch.y)
        if model.side == "label":
            assert batch.y is not None
            terms["side"] = losses.class_loss(predicted, batch.y)
        else:
            assert batch.side is not None
            terms["side"] = losses.mean_square(predicted, batch.side)
    if weights.prototype or weights.volume:
        corners = heads.corners()
        if weights.prototype:
            group = _groups(heads, batch.y, len(batch.x))
            group = group if mask is None else jnp.where(mask[:, None], group, 0.0)
            terms["prototype"] = losses.prototype_loss(corners.mean(1), encoded.t, group, AXIS)
        if weights.volume:
            terms["volume"] = losses.volume_loss(corners)
    return terms


def _groups(heads: ArchetypeHeads, label: Array | None, n: int) -> Array:
    """Which set of archetypes each example has, one-hot [B, G]."""
    if not heads.n_classes:
        return jnp.ones((n, 1))
    assert label is not None
    return jax.nn.one_hot(label, heads.n_classes)
