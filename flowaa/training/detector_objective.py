"""The loss of detectors: real inliers against outliers that are drawn within the step."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowaa.data.batches import Labelled, MaskedBatch
from flowaa.detection.losses import (
    class_loss,
    confidence_loss,
    inlier_loss,
    outlier_loss,
    weighted_mean,
)
from flowaa.detection.model import DetectorModel
from flowaa.training.state import Params
from flowaa.training.step import AXIS, Loss, Metrics

Array = jax.Array

# Outliers [B, *shape] in data units and their weights [B], from the flow's parameters, a key and a
# batch of inliers.
MakeOutliers = Callable[[Params, Array, Array], tuple[Array, Array]]
# Outliers that an adversary learns to make, from its parameters and a key.
Generate = Callable[[Params, Array, int], Array]


@dataclasses.dataclass(frozen=True)
class DetectorProblem:
    """A detector and where its outliers come from.

    Parameters are {"network", "flow"}, and "adversary" where there is one, which starts as the flow
    or is a generator's. "flow" is frozen: outliers and evidence are those of the finished run.
    """

    detector: DetectorModel
    make_outliers: MakeOutliers | None  # None where nothing is trained
    confidence_weight: float  # of outliers in a classifier's loss
    generate: Generate | None = None  # draws of the adversary, if there is one
    generator: nn.Module | None = None  # of the adversary "generator"; None starts as the flow

    def init(self, key: Array, x: Array, flow_params: Params) -> Params:
        """Parameters to start from."""
        network_key, generator_key = jax.random.split(key)
        inputs = self.detector.inputs({"flow": flow_params}, x[:2])
        params = {"network": self.detector.network.init(network_key, *inputs)["params"],
                  "flow": flow_params}
        if self.generator is not None:
            noise = jnp.zeros((2, x[0].size))
            params["adversary"] = self.generator.init(generator_key, noise)["params"]
        elif self.generate is not None:
            params["adversary"] = jax.tree.map(jnp.copy, flow_params)
        return params

    def loss(self) -> Loss:
        """Binary cross-entropy, or a classifier's with a confidence term (Lee et al. 2018, eq. 4).

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
            x, weight = jax.lax.stop_gradient(self._outliers(params, outlier_key, batch.x))
            inlier, outlier = self._losses(params, batch.x, batch.y, x, seen=True)
            parts = {"inlier_loss": inlier.mean(), "outlier_loss": weighted_mean(
                outlier, weight, AXIS)}
            total = parts["inlier_loss"] + parts["outlier_loss"]
            parts["loss"] = total
            parts["outliers_kept"] = weight.mean()
            if self.generate is not None:
                made = self.generate(params["adversary"], generator_key, len(batch.x))
                fixed = jax.lax.stop_gradient(params)
                logits = self.detector.logits(params, jax.lax.stop_gradient(made))
                total += self._outlier_losses(logits).mean()
                parts["generator_loss"] = self._fooling(fixed, made).mean()
                total += parts["generator_loss"]
            return total, parts

        return loss

    def values(self, params: Params, batch: MaskedBatch, key: Array) -> Metrics:
        """Values per example, for evaluation; outliers are made as in training."""
        x, y = batch.x, batch.y
        key = jax.random.fold_in(key, batch.example_ids[0])
        outliers, weight = self._outliers(params, key, x)
        inlier, outlier = self._losses(params, x, y, outliers, seen=False)
        mean_outlier = weighted_mean(outlier, weight, AXIS)
        values = {"inlier_loss": inlier, "outlier_loss": jnp.full(len(x), mean_outlier)}
        values["loss"] = values["inlier_loss"] + values["outlier_loss"]
        if y is not None and self.detector.n_classes:
            logits = self.detector.logits(params, x)
            best = self.detector.class_log_probs(logits).argmax(-1)
            values["accuracy"] = (best == y).astype(jnp.float32)
        return values

    def _outliers(self, params: Params, key: Array, x: Array) -> tuple[Array, Array]:
        assert self.make_outliers is not None, "training needs outliers"
        return self.make_outliers(params["flow"], key, x)

    def _losses(
        self, params: Params, x: Array, y: Array | None, outliers: Array, *, seen: bool
    ) -> tuple[Array, Array]:
        """Losses [B] of inliers and of outliers; `seen`: the flow was trained on the inliers."""
        # Together, so that the flow is compiled once.
        together = jnp.concatenate([x.astype(jnp.float32), outliers])
        mask = jnp.arange(len(together)) < len(x) if seen else None
        logits = self.detector.logits(params, together, seen=mask)
        of_inliers, of_outliers = logits[: len(x)], logits[len(x):]
        if not self.detector.n_classes:
            return inlier_loss(of_inliers[:, 0]), self._outlier_losses(of_outliers)
        assert y is not None, "a classifier needs labels"
        return class_loss(of_inliers, y), self._outlier_losses(of_outliers)

    def _outlier_losses(self, logits: Array) -> Array:
        if not self.detector.n_classes:
            return outlier_loss(logits[:, 0])
        if self.detector.rejects:
            none_of_them = jnp.full(len(logits), self.detector.n_classes)
            return self.confidence_weight * class_loss(logits, none_of_them)
        return self.confidence_weight * confidence_loss(logits)

    def _fooling(self, params: Params, made: Array) -> Array:
        """The adversary's loss [B], small where its draws look real (Goodfellow et al. 2014)."""
        logits = self.detector.logits(params, made)
        return inlier_loss(self.detector.outlier_logit(logits))
