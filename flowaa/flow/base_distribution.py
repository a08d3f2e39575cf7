"""Base distributions of a flow, as distrax distributions."""

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


class StandardNormal(nn.Module):
    """N(0, 1) in each of the latent's dimensions, whatever the label."""

    n_dims: int

    def __call__(
        self, label: Array | None = None, temperature: Array | float = 1.0
    ) -> distrax.Distribution:
        """A distribution over [D], its scale multiplied by `temperature`."""
        del label
        scale = temperature * jnp.ones(self.n_dims)
        return distrax.MultivariateNormalDiag(jnp.zeros(self.n_dims), scale)


class ClassMixture(nn.Module):
    """One Gaussian a class, with learned means and scales; every class equally likely.

    Given labels it is the Gaussian of each label's class, without them the mixture of all classes.
    """

    n_dims: int
    n_classes: int

    @nn.compact
    def __call__(
        self, label: Array | None = None, temperature: Array | float = 1.0
    ) -> distrax.Distribution:
        """A distribution over [D] (no label), or a batch [B] of them (labels [B]).

        `temperature` multiplies the scale of every class about its own mean.
        """
        shape = (self.n_classes, self.n_dims)
        means = self.param("means", nn.initializers.normal(0.05), shape)
        scales = temperature * jnp.exp(self.param("log_scales", nn.initializers.zeros, shape))
        if label is not None:
            return distrax.MultivariateNormalDiag(jnp.asarray(means)[label], scales[label])
        return distrax.MixtureSameFamily(
            distrax.Categorical(logits=jnp.zeros(self.n_classes)),
            distrax.MultivariateNormalDiag(means, scales),
        )
