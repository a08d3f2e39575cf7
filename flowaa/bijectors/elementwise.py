"""A monotone map of each feature by itself: the block of rows of one feature, without halves."""

import flax.linen as nn
import jax.numpy as jnp

from flowaa.bijectors.base import Array, Bijector, SubnetFactory
from flowaa.bijectors.laws import Law


class Elementwise(Bijector):
    """z = g(x; theta) of rows [B, D]; theta = m(cond), or free parameters without a condition."""

    subnet: SubnetFactory
    law: Law

    @nn.compact
    def law_parameters(self, x: Array, cond: Array | None) -> Array:
        """theta [B, D n_parameters]."""
        n_parameters = self.law.n_parameters * x.shape[-1]
        if cond is not None:
            return self.subnet()(cond, n_outputs=n_parameters)
        theta = self.param("theta", nn.initializers.zeros, (n_parameters,))
        return jnp.broadcast_to(theta, (len(x), n_parameters))

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = g(x; theta)."""
        return self.law.forward(x, self.law_parameters(x, cond))

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = g^-1(z; theta)."""
        return self.law.inverse(z, self.law_parameters(z, cond))
