"""The losses of deep archetypal analysis, pure functions of a batch.

Losses [B] are of each example, and the caller takes their mean over the global batch. Losses [] are
of the whole batch. Under a map over a named axis, which divides the batch over devices and hosts,
these sum over the axis: B (thesis eq. 2.13), a softmax over all examples, is that of the global
batch. So the mean over devices of the gradients is the gradient of one device with the whole batch.
"""

import jax.numpy as jnp
import optax
from jax import Array, lax


def safe_norm(x: Array) -> Array:
    """Euclidean norm over the last axis, with gradient zero at zero.

    The norm has no gradient at zero, which the archetype loss reaches, and autodiff gives NaN. The
    inner `where` keeps the root away from zero: the outer one alone would give 0 · NaN = NaN.

    >>> import jax
    >>> jax.grad(safe_norm)(jnp.zeros(2)).tolist()
    [0.0, 0.0]
    """
    squared = jnp.square(x).sum(-1)
    is_zero = squared == 0.0
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squared)))


def selected_weights(
    selection_logits: Array, weights: Array, axis_name: str | None = None
) -> Array:
    """B A [K, K]: the weights of the mixtures of examples that are to be the archetypes.

    Args:
        selection_logits: [B, K]; their softmax over all examples is B (thesis eq. 2.13).
        weights: A [B, K].
        axis_name: mapped axis that holds the rest of the batch.
    """
    # A shift that all examples share changes no softmax, and so needs no gradient.
    largest = lax.stop_gradient(selection_logits.max(0))
    if axis_name is not None:
        largest = lax.pmax(largest, axis_name)
    share = jnp.exp(selection_logits - largest)
    mixed, mass = share.T @ weights, share.sum(0)
    if axis_name is not None:
        mixed, mass = lax.psum((mixed, mass), axis_name)
    return mixed / mass[:, None]


def archetype_loss(
    selection_logits: Array, weights: Array, vertices: Array, axis_name: str | None = None
) -> Array:
    """mean_j ‖(B A Z − Z)_j‖ []: archetypes are mixtures of examples.

    The loss ℓ_AT of Keller, Samarin, Torres, Wieser & Roth (2020, IJCV 129, arXiv 2002.00815);
    thesis eq. 2.12 and 2.13. Z are the vertices [K, L]; the other arguments are as for
    `selected_weights`.

    >>> logits, vertices = 100.0 * jnp.eye(2), jnp.array([[1.0], [-1.0]])
    >>> float(archetype_loss(logits, jnp.eye(2), vertices))
    0.0
    """
    mixed = selected_weights(selection_logits, weights, axis_name)
    return safe_norm(mixed @ vertices - vertices).mean()


def mean_square(predicted: Array, target: Array | float) -> Array:
    """Mean [B] over an example's dimensions of the squared difference.

    The reconstruction loss (thesis eq. 2.14), of data or of latents, and that of scores.
    """
    return jnp.square(predicted - target).reshape(len(predicted), -1).mean(1)


def class_loss(logits: Array, label: Array) -> Array:
    """Cross-entropy [B] in nats of class logits [B, C] (Keller et al. 2020, side information)."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, label)


def prototype_loss(
    centre: Array, t: Array, group: Array, axis_name: str | None = None
) -> Array:
    """Mean square distance [] per dimension of each simplex's centre from its group's mean latent.

    A prototype is the typical example of its class (thesis 2.3). Groups without an example in the
    batch do not count.

    Args:
        centre: latents [G, D] of the centres, one a group.
        t: latents [B, D] of the examples.
        group: which group each example belongs to, one-hot [B, G]; a row of zeros for none.
        axis_name: mapped axis that holds the rest of the batch.
    """
    count, summed = group.sum(0), group.T @ t
    if axis_name is not None:
        count, summed = lax.psum((count, summed), axis_name)
    distance = jnp.square(centre - summed / jnp.maximum(count, 1.0)[:, None]).mean(-1)
    return jnp.where(count > 0, distance, 0.0).sum() / jnp.maximum((count > 0).sum(), 1)


def volume_loss(corners: Array) -> Array:
    """Log of the simplex's volume [] per edge, up to a constant; the mean over sets of corners.

    The smallest simplex that contains the data touches it (Craig 1994, IEEE Trans. Geosci. Remote
    Sens. 32; Miao & Qi 2007, ibid. 45). Without this loss, archetypes that are learned in an
    unbounded latent space drift outwards.

    Args:
        corners: latents [G, K, D] of the vertices.
    """
    edges = corners[:, 1:] - corners[:, :1]
    n_edges = edges.shape[1]
    gram = edges @ edges.swapaxes(-1, -2)
    # A floor relative to the edges: a degenerate simplex has volume 0, and no logarithm.
    floor = 1e-6 * jnp.trace(gram, axis1=-2, axis2=-1)[:, None, None] * jnp.eye(n_edges)
    return 0.5 * jnp.linalg.slogdet(gram + floor)[1].mean() / n_edges
