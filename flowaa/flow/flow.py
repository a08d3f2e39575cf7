"""A flow: a bijector and a base distribution (thesis 2.2.3)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.chain import Chain

Array = jax.Array


class Flow(nn.Module):
    """A density over examples of `shape`, in the model's own units.

    Labels are class indices [B]. A flow that is conditional needs them, as one-hot conditions of
    every subnet; a base distribution with classes uses them where they are given.
    """

    bijector: Chain
    base: nn.Module  # (label [B] or None, temperature) -> distrax.Distribution over [D]
    shape: tuple[int, ...]  # of one example: (H, W, C) or (D,)
    latent_shape: tuple[int, ...]  # of one example's latent as the bijector gives it
    n_condition_classes: int = 0  # 0 = unconditional

    @property
    def n_dims(self) -> int:
        """D, the number of dimensions of one example."""
        return int(np.prod(self.shape))

    def encode(self, x: Array, label: Array | None = None) -> tuple[Array, Array]:
        """Data [B, *shape] to latent [B, D], and log|det dz/dx| [B]."""
        z, log_det = self.bijector.encode(x, self.condition(label))
        return z.reshape(z.shape[0], self.n_dims), log_det

    def decode(self, z: Array, label: Array | None = None) -> tuple[Array, Array]:
        """Latent [B, D] to data [B, *shape], and log|det dx/dz| [B]."""
        return self.bijector.decode(z.reshape(-1, *self.latent_shape), self.condition(label))

    def log_prob(self, x: Array, label: Array | None = None) -> Array:
        """log p(x) [B] in nats by the change of variables (eq. 2.7 to 2.9)."""
        z, log_det = self.encode(x, label)
        return self.latent_log_prob(z, label) + log_det

    def latent_log_prob(self, z: Array, label: Array | None = None) -> Array:
        """log p(z) [B] of latents z [B, D] under the base distribution, in nats."""
        return self.base(label).log_prob(z)

    def sample_latent(
        self, key: Array, n: int, label: Array | None = None, temperature: float = 1.0
    ) -> Array:
        """Draws z [n, D] of the base, its scales multiplied by `temperature`."""
        base = self.base(label, temperature)
        return base.sample(seed=key, sample_shape=() if base.batch_shape else (n,))

    def latent_moments(self, label: Array) -> tuple[Array, Array]:
        """Means and deviations [B, D] of the latents of each label [B]."""
        base = self.base(label)
        return jnp.broadcast_to(base.mean(), (len(label), self.n_dims)), jnp.broadcast_to(
            base.stddev(), (len(label), self.n_dims))

    def __call__(self, x: Array, label: Array | None = None) -> Array:
        """The same as `log_prob`, so that `init` reaches every parameter."""
        return self.log_prob(x, label)

    def condition(self, label: Array | None) -> Array | None:
        """The condition of the bijector, one-hot [B, classes], or None."""
        if not self.n_condition_classes:
            return None
        if label is None:
            raise ValueError("this flow is conditional: give the label of every example")
        return jax.nn.one_hot(label, self.n_condition_classes, dtype=jnp.float32)
