"""Split-off (thesis 2.2.2): some channels become noise, the others go on through the flow."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowaa.bijectors.base import (
    Array,
    Bijector,
    Params,
    SubnetFactory,
    add_cotangents,
    bound,
    params_of,
)
from flowaa.bijectors.laws import Affine


class SplitOff(Bijector):
    """Splits channels off, normalises them, and carries the others through `rest`.

    encode:  (stay, off) = x;  noise = (off exp(s) + t);  z = [rest(stay), noise]      as one vector
    log_det = log_det of rest + sum s

    The channels split off are thus Gaussian with learned mean and scale: free parameters of each
    channel where `subnet` is None, else a function m(stay, cond) of the channels that stay
    (Dinh et al. 2017, arXiv 1605.08803, 3.6; Kingma & Dhariwal 2018, arXiv 1807.03039).
    """

    rest: Bijector  # maps the channels that stay to an image or a vector; a `Chain`
    n_off: int  # channels split off: the last ones
    stay_shape: tuple[int, ...]  # of one example of `stay`: (H, W, C - n_off) or (D - n_off,)
    rest_shape: tuple[int, ...]  # of one example's output of `rest`
    subnet: SubnetFactory | None = None
    clamp: float = 1.5

    @nn.compact
    def law_parameters(self, stay: Array, cond: Array | None) -> Array:
        """theta of the affine law from the channels split off to noise."""
        if self.subnet is not None:
            return self.subnet()(stay, cond, n_outputs=2 * self.n_off)
        theta = self.param("theta", nn.initializers.zeros, (2 * self.n_off,))
        return jnp.broadcast_to(theta, (*stay.shape[:-1], 2 * self.n_off))

    def dropout_key(self) -> Array:
        """The key `encode` hands to `rest`, so that `pull_back` has the same masks."""
        return self.make_rng("dropout")

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = [rest(stay), noise]."""
        stay, off = x[..., : -self.n_off], x[..., -self.n_off :]
        noise, noise_log_det = Affine(self.clamp).forward(off, self.law_parameters(stay, cond))
        if self.is_initializing():
            z, log_det = self.rest.encode(stay, cond)
        else:
            key = self.dropout_key() if self.has_rng("dropout") else None
            rest = bound(self.rest.unbind()[0], self.rest_params(), dropout_key=key)
            z, log_det = rest.encode(stay, cond)
        return _concatenate(z, noise), log_det + noise_log_det

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """stay = rest^-1, then off = law^-1(noise; stay)."""
        kept, noise = self._parts(z)
        stay, log_det = self.rest.decode(kept, cond)
        off, noise_log_det = Affine(self.clamp).inverse(noise, self.law_parameters(stay, cond))
        return jnp.concatenate([stay, off], axis=-1), log_det + noise_log_det

    def rest_params(self) -> Params:
        """The parameters of `rest`."""
        return params_of(self.rest)

    def pull_back(
        self,
        params: Params,
        z: Array,
        cond: Array | None,
        cotangents: tuple[Array, Array],
        dropout_key: Array | None,
    ) -> tuple[Array, Array, Params, Array | None]:
        """See `Bijector.pull_back`: `rest` recovers `stay`, from which the law recovers `off`."""
        d_z, d_log_det = cotangents
        kept, noise = self._parts(z)
        d_kept, d_noise = self._parts(d_z)
        rest_key = None
        if dropout_key is not None:
            rest_key = bound(self, params, dropout_key=dropout_key).dropout_key()
        rest, as_params = jax.vjp(lambda own: bound(self, own).rest_params(), params)
        stay, d_stay, d_rest, d_cond = self.rest.pull_back(
            rest, kept, cond, (d_kept, d_log_det), rest_key
        )

        def theta_of(params: Params, stay: Array, cond: Array | None) -> Array:
            return bound(self, params, dropout_key=dropout_key).law_parameters(stay, cond)

        theta, theta_vjp = jax.vjp(theta_of, params, stay, cond)
        law = Affine(self.clamp)
        off, _ = law.inverse(noise, theta)
        _, law_vjp = jax.vjp(law.forward, off, theta)
        d_off, d_theta = law_vjp((d_noise, d_log_det))
        d_params, d_stay_theta, d_cond_theta = theta_vjp(d_theta)
        x = jnp.concatenate([stay, off], axis=-1)
        d_x = jnp.concatenate([d_stay + d_stay_theta, d_off], axis=-1)
        d_params = add_cotangents(d_params, as_params(d_rest)[0])
        return x, d_x, d_params, add_cotangents(d_cond, d_cond_theta)

    def _parts(self, z: Array) -> tuple[Array, Array]:
        """The vector z as the output of `rest` and the noise, in their own shapes."""
        n_noise = self.n_off * math.prod(self.stay_shape[:-1])
        kept = z[:, :-n_noise].reshape(-1, *self.rest_shape)
        noise = z[:, -n_noise:].reshape(-1, *self.stay_shape[:-1], self.n_off)
        return kept, noise


def _concatenate(z: Array, noise: Array) -> Array:
    n = z.shape[0]
    return jnp.concatenate([z.reshape(n, -1), noise.reshape(n, -1)], axis=1)
