"""A flow: a bijector and a base distribution (thesis 2.2.3)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.chain import Chain
from flowaa.errors import UserError

Array = jax.Array


class Flow(nn.Module):
    """A density over examples u of `shape`, in the model's own units.

    A conditional flow is given class indices label [B], or context [B, E], or both: every subnet
    sees [one_hot(label), (context - mean) / std]. A base distribution with classes uses labels
    where they are given.
    """

    bijector: Chain
    base: nn.Module  # (label [B] or None, temperature) -> distrax.Distribution over [D]
    shape: tuple[int, ...]  # of one example: (H, W, C) or (D,)
    latent_shape: tuple[int, ...]  # of one example's latent as the bijector gives it
    n_condition_classes: int = 0  # 0 = no condition on the label
    context_mean: tuple[float, ...] = ()  # [E]; () = no condition on a context
    context_std: tuple[float, ...] = ()  # [E]

    @property
    def n_dims(self) -> int:
        """D, the number of dimensions of one example."""
        return int(np.prod(self.shape))

    def encode(
        self, u: Array, label: Array | None = None, context: Array | None = None
    ) -> tuple[Array, Array]:
        """Data [B, *shape] to latent [B, D], and log|det dz/du| [B]."""
        z, log_det = self.bijector.encode(u, self.condition(label, context))
        return z.reshape(z.shape[0], self.n_dims), log_det

    def decode(
        self, z: Array, label: Array | None = None, context: Array | None = None
    ) -> tuple[Array, Array]:
        """Latent [B, D] to data [B, *shape], and log|det du/dz| [B]."""
        z = z.reshape(-1, *self.latent_shape)
        return self.bijector.decode(z, self.condition(label, context))

    def log_prob(
        self, u: Array, label: Array | None = None, context: Array | None = None
    ) -> Array:
        """log p(u) [B] in nats by the change of variables (eq. 2.7 to 2.9)."""
        z, log_det = self.encode(u, label, context)
        return self.latent_log_prob(z, label) + log_det

    def latent_log_prob(self, z: Array, label: Array | None = None) -> Array:
        """log p(z) [B] of latents z [B, D] under the base distribution, in nats."""
        return self.base(label).log_prob(z)

    def sample_latent(
        self, key: Array, n: int, label: Array | None = None, temperature: Array | float = 1.0
    ) -> Array:
        """Draws z [n, D] of the base, its scales multiplied by `temperature`."""
        base = self.base(label, temperature)
        return base.sample(seed=key, sample_shape=() if base.batch_shape else (n,))

    def latent_moments(self, label: Array) -> tuple[Array, Array]:
        """Means and standard deviations [B, D] of the latents of each label [B]."""
        base = self.base(label)
        return jnp.broadcast_to(base.mean(), (len(label), self.n_dims)), jnp.broadcast_to(
            base.stddev(), (len(label), self.n_dims))

    def __call__(
        self, u: Array, label: Array | None = None, context: Array | None = None
    ) -> Array:
        """The same as `log_prob`, so that `init` reaches every parameter."""
        return self.log_prob(u, label, context)

    def condition(self, label: Array | None, context: Array | None = None) -> Array | None:
        """The condition of the bijector [B, classes + E], or None.

        Raises:
            UserError: the flow is conditional and is not given what it depends on.
        """
        parts = []
        if self.n_condition_classes:
            if label is None:
                raise UserError("this flow is conditional: give the label of every example")
            parts.append(jax.nn.one_hot(label, self.n_condition_classes, dtype=jnp.float32))
        if self.context_mean:
            if context is None:
                raise UserError("this flow depends on a context: give that of every example "
                                "(archetypes, outliers and detectors do not take one)")
            parts.append((context - jnp.asarray(self.context_mean)) / jnp.asarray(self.context_std))
        return jnp.concatenate(parts, axis=1) if parts else None
