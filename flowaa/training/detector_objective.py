"""What detectors are trained on: real inliers against outliers that are made in the step."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowaa.data.batches import Labelled, MaskedBatch
from flowaa.detection.detector import Detector
from flowaa.detection.losses import (
    class_loss,
    confidence_loss,
    inlier_loss,
    outlier_loss,
    weighted_mean,
)
from flowaa.training.state import Params
from flowaa.training.step import AXIS, Loss, Metrics

Array = jax.Array

# Outliers [B, *shape] in data units and their weights [B], from the flow's parameters, a key and a
# batch of inliers.
MakeOutliers = Callable[[Params, Array, Array], tuple[Array, Array]]
# Outliers that an adversary learns to make, from its parameters and a key.
Generate = Callable[[Params, Array, int], Array]

Adversary = Literal["none", "generator", "flow"]


@dataclasses.dataclass(frozen=True)
class DetectorProblem:
    """A detector and where its outliers come from.

    Parameters are {"network", "flow"}, and "generator" where there is one. The flow is frozen
    unless it is the adversary.
    """

    detector: Detector
    make_outliers: MakeOutliers
    confidence_weight: float  # of outliers in a classifier's loss
    adversary: Adversary = "none"
    generate: Generate | None = None
    generator: nn.Module | None = None  # of the adversary "generator"

    def init(self, key: Array, x: Array, flow_params: Params) -> Params:
        """Parameters to start from."""
        network_key, generator_key = jax.random.split(key)
        network = self.detector.network.init(network_key, self.detector.standardise(x[:2]))
        params = {"network": network["params"], "flow": flow_params}
        if self.generator is not None:
            noise = jnp.zeros((2, x[0].size))
            params["generator"] = self.generator.init(generator_key, noise)["params"]
        return params

    def loss(self) -> Loss:
        """Binary cross-entropy, or a classifier's with a doubt (Lee et al. 2018, eq. 1 and 4).

        An adversary's loss is in the same sum: each player's parameters see the gradient of their
        own part alone, as the other's are constants in it.
        """

        def loss(
            params: Params, batch: Labelled, example_ids: Array, key: Array
        ) -> tuple[Array, Metrics]:
            del example_ids
            # Each device draws outliers of its own.
            key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
            outlier_key, generator_key = jax.random.split(key)
            x, weight = jax.lax.stop_gradient(
                self.make_outliers(params["flow"], outlier_key, batch.x))
            inlier, outlier = self._losses(params["network"], batch.x, batch.y, x)
            parts = {"inlier_loss": inlier.mean(), "outlier_loss": weighted_mean(
                outlier, weight, AXIS)}
            total = parts["inlier_loss"] + parts["outlier_loss"]
            parts["loss"] = total
            parts["outliers_kept"] = weight.mean()
            if self.generate is not None:
                player = params["generator" if self.adversary == "generator" else "flow"]
                made = self.generate(player, generator_key, len(batch.x))
                fixed = jax.lax.stop_gradient(params["network"])
                total += self._outlier_losses(params["network"], jax.lax.stop_gradient(made)).mean()
                parts["generator_loss"] = self._fooling(fixed, made).mean()
                total += parts["generator_loss"]
            return total, parts

        return loss

    def values(self, params: Params, batch: MaskedBatch, key: Array) -> Metrics:
        """Values per example, for evaluation; outliers are made as in training."""
        x, y = batch.x, batch.y
        key = jax.random.fold_in(key, batch.example_ids[0])
        outliers, weight = self.make_outliers(params["flow"], key, x)
        inlier, outlier = self._losses(params["network"], x, y, outliers)
        mean_outlier = weighted_mean(outlier, weight, AXIS)
        values = {"inlier_loss": inlier, "outlier_loss": jnp.full(len(x), mean_outlier)}
        values["loss"] = values["inlier_loss"] + values["outlier_loss"]
        if y is not None and self.detector.n_classes:
            logits = self.detector.logits(params["network"], x)
            best = self.detector.class_log_probs(logits).argmax(-1)
            values["accuracy"] = (best == y).astype(jnp.float32)
        return values

    def _losses(
        self, network: Params, x: Array, y: Array | None, outliers: Array
    ) -> tuple[Array, Array]:
        """Losses of inliers and of outliers, [B] each."""
        logits = self.detector.logits(network, x)
        if not self.detector.n_classes:
            return inlier_loss(logits[:, 0]), self._outlier_losses(network, outliers)
        assert y is not None, "a classifier needs labels"
        return class_loss(logits, y), self._outlier_losses(network, outliers)

    def _outlier_losses(self, network: Params, outliers: Array) -> Array:
        logits = self.detector.logits(network, outliers)
        if not self.detector.n_classes:
            return outlier_loss(logits[:, 0])
        if self.detector.rejects:
            none_of_them = jnp.full(len(logits), self.detector.n_classes)
            return self.confidence_weight * class_loss(logits, none_of_them)
        return self.confidence_weight * confidence_loss(logits)

    def _fooling(self, network: Params, made: Array) -> Array:
        """What a generator minimises [B]: that its draws look real (Goodfellow et al. 2014)."""
        logits = self.detector.logits(network, made)
        return inlier_loss(self.detector.outlier_logit(logits))
