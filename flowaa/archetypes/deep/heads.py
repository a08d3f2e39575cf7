"""The layers of deep archetypal analysis: from latents to weights of archetypes and back.

    t ──► A [B, K]          weights of the archetypes in each example      (thesis eq. 2.11, 2.13)
    t ──► B logits [B, K]   weights of the examples in each archetype      (thesis eq. 2.12, 2.13)
    A Z ──► t̂ [B, D]        the latent that is decoded
    A Z ──► side information: class logits or scores

All are linear (Keller et al. 2020, arXiv 2002.00815; thesis 2.3). Z are the vertices of a
(K − 1)-simplex. They are fixed where the flow is trained with them, as it can move any latents
there, or learned, to fit a flow that was trained before.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from flowaa.archetypes.simplex import regular_vertices

# Gain of the first weights' kernel. At zero every example would be the centre of the simplex, where
# the gradients of archetype loss and reconstruction are equal for all vertices.
_FIRST_LOGIT = 0.1


class ClassDense(nn.Module):
    """A dense layer with one set of parameters, or a set for each class."""

    n_outputs: int
    n_classes: int = 0  # 0 = one set for all
    # Lengths and directions are parameters apart (Salimans & Kingma 2016, arXiv 1602.07868).
    weight_norm: bool = False
    gain: float = 1.0  # standard deviation of the first outputs, of inputs with deviation 1

    @nn.compact
    def __call__(self, x: Array, label: Array | None) -> Array:
        """Maps x [B, D] of classes label [B] to [B, n_outputs]."""
        init = nn.initializers.variance_scaling(
            self.gain**2, "fan_in", "truncated_normal", batch_axis=(0,))
        n_sets = max(self.n_classes, 1)
        kernel = self.param("kernel", init, (n_sets, x.shape[-1], self.n_outputs))
        bias = self.param("bias", nn.initializers.zeros, (n_sets, self.n_outputs))
        if self.weight_norm:
            length = jnp.linalg.norm(kernel, axis=1)
            learned = self.param("length", lambda _: length)
            kernel = kernel * (learned / jnp.maximum(length, 1e-12))[:, None]
        if not self.n_classes:
            return x @ kernel[0] + bias[0]
        assert label is not None, "weights by class need the class of every example"
        of_class = jax.nn.one_hot(label, self.n_classes, dtype=x.dtype)
        return jnp.einsum("bc,bi,cio->bo", of_class, x, kernel) + of_class @ bias


class ArchetypeHeads(nn.Module):
    """Linear layers around a simplex with K vertices; latents have D dimensions.

    The prototype is the typical example beside the extremes (thesis 2.3): a further point, the
    simplex's centre, that examples can be mixtures of. The centre is the even mixture of all
    vertices; its weight is added to theirs in equal parts, and A remains [B, K].
    """

    n_archetypes: int  # K
    n_dims: int  # D
    n_side: int = 0  # classes or scores that A Z predicts; 0 = none
    n_classes: int = 0  # > 0: a set of archetypes, and of weights, for each class
    learned_vertices: bool = False
    prototype: bool = False
    overshoot: float = 0.0  # weights may lie within [-overshoot, 1 + (K - 1) overshoot]
    weight_norm: bool = False

    def setup(self) -> None:
        """Makes the layers."""
        regular = jnp.asarray(regular_vertices(self.n_archetypes), jnp.float32)
        self._regular = regular
        if self.learned_vertices:
            self.learned = self.param("vertices", lambda _: regular)
        n_points = self.n_archetypes + self.prototype
        self.to_weights = self._dense(n_points, _FIRST_LOGIT)
        self.to_selection = self._dense(self.n_archetypes, _FIRST_LOGIT)
        self.to_latent = self._dense(self.n_dims, 1.0)
        self.to_side = self._dense(self.n_side, 1.0) if self.n_side else None

    def vertices(self) -> Array:
        """Z [K, L]."""
        return self.learned if self.learned_vertices else self._regular

    def weights(self, t: Array, label: Array | None = None) -> Array:
        """A [B, K] of latents t [B, D]; rows sum to one."""
        shares = jax.nn.softmax(self.to_weights(t, label))
        if self.prototype:
            shares = shares[:, :-1] + shares[:, -1:] / self.n_archetypes
        return (1.0 + self.n_archetypes * self.overshoot) * shares - self.overshoot

    def selection_logits(self, t: Array, label: Array | None = None) -> Array:
        """Logits [B, K] of B; a softmax over the examples of the global batch makes them B."""
        return self.to_selection(t, label)

    def latent(self, weights: Array, label: Array | None = None) -> Array:
        """t̂ [B, D] of weights [B, K]."""
        return self.to_latent(weights @ self.vertices(), label)

    def corners(self) -> Array:
        """Latents [G, K, D] of the vertices; G sets, one a class, or one of all."""
        n_sets, k = max(self.n_classes, 1), self.n_archetypes
        weights, label = jnp.tile(jnp.eye(k), (n_sets, 1)), jnp.repeat(jnp.arange(n_sets), k)
        return self.latent(weights, label).reshape(n_sets, k, self.n_dims)

    def side(self, weights: Array, label: Array | None = None) -> Array:
        """Predicted side information of weights [B, K]: class logits or scores [B, n_side]."""
        assert self.to_side is not None, "these heads predict no side information"
        return self.to_side(weights @ self.vertices(), label)

    def __call__(self, t: Array, label: Array | None = None) -> tuple[Array, Array]:
        """A and t̂ of latents t; touches every parameter, so that `init` makes them all."""
        weights = self.weights(t, label)
        self.selection_logits(t, label)
        if self.n_side:
            self.side(weights, label)
        return weights, self.latent(weights, label)

    def _dense(self, n_outputs: int, gain: float) -> ClassDense:
        return ClassDense(n_outputs, self.n_classes, self.weight_norm, gain)


def noisy_weights(weights: Array, noise: Array, scale: float) -> Array:
    """Weights [B, K] + scale · noise [B, K], less the noise's mean: rows still sum to one.

    >>> noisy_weights(jnp.array([[0.5, 0.5]]), jnp.array([[1.0, -1.0]]), 0.1).tolist()
    [[0.6000000238418579, 0.4000000059604645]]
    """
    return weights + scale * (noise - noise.mean(-1, keepdims=True))
