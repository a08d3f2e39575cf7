"""Losses of detectors, per example; outliers may count less than fully, or not at all."""

import jax
import jax.numpy as jnp
import optax

Array = jax.Array


def inlier_loss(logits: Array) -> Array:
    """Binary cross-entropy [B] of real examples, from the logits [B] of being an outlier."""
    return jax.nn.softplus(logits)


def outlier_loss(logits: Array) -> Array:
    """Binary cross-entropy [B] of outliers, from the logits [B] of being an outlier."""
    return jax.nn.softplus(-logits)


def class_loss(logits: Array, labels: Array) -> Array:
    """Cross-entropy [B] of class logits [B, K] and labels [B]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def confidence_loss(logits: Array) -> Array:
    """KL(U ‖ p) [B] from the uniform law to the classes' law, of logits [B, K] of outliers.

    Zero where the classifier has no opinion (Lee et al. 2018, eq. 1).
    """
    return -jax.nn.log_softmax(logits).mean(-1) - jnp.log(logits.shape[-1])


def weighted_mean(values: Array, weight: Array, axis_name: str | None = None) -> Array:
    """Mean [] of values [B] with weights [B], over all devices; 0 where nothing counts."""
    total, count = jnp.sum(weight * values), jnp.sum(weight)
    if axis_name is not None:
        # The count alone crosses devices: gradients are averaged over them afterwards.
        count = jax.lax.pmean(count, axis_name)
    return total / jnp.maximum(count, 1e-9)
