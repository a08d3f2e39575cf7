"""Split-off (thesis 2.2.2): part of the channels becomes noise, the rest goes on in the flow."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from flowaa.bijectors.base import (
    Array,
    Bijector,
    Params,
    SubnetFactory,
    add_cotangents,
    call,
)
from flowaa.bijectors.laws import Affine


class SplitOff(Bijector):
    """Splits channels off, normalises them, and carries the others through `rest`.

    encode:  (stay, off) = x;  noise = (off exp(s) + t);  z = [rest(stay), noise]      as one vector
    log_det = log_det of rest + sum s

    The noise's own base is thus a Gaussian whose mean and scale are learned: free parameters of
    each channel where `subnet` is None, else a function of what stays, m(stay, cond)
    (Dinh et al. 2017, 3.6; Kingma & Dhariwal 2018).
    """

    rest: Bijector  # maps what stays to an image or a vector; a `Chain`
    n_off: int  # channels split off: the last ones
    stay_shape: tuple[int, ...]  # of one example of what stays: (H, W, C - n_off) or (D - n_off,)
    rest_shape: tuple[int, ...]  # of one example's output of `rest`
    subnet: SubnetFactory | None = None
    clamp: float = 1.5

    @nn.compact
    def _theta(self, stay: Array, cond: Array | None) -> Array:
        """Parameters of the affine law that turns what is split off into noise."""
        if self.subnet is not None:
            return self.subnet()(stay, cond, n_outputs=2 * self.n_off)
        theta = self.param("theta", nn.initializers.zeros, (2 * self.n_off,))
        return jnp.broadcast_to(theta, (*stay.shape[:-1], 2 * self.n_off))

    @property
    def depends_on_data(self) -> bool:
        """Whether `rest` does."""
        return self.rest.depends_on_data

    def dropout_key(self) -> Array:
        """The key `encode` hands to `rest`, so that `pull_back` has the same masks."""
        return self.make_rng("dropout")

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = [rest(stay), noise]."""
        stay, off = x[..., : -self.n_off], x[..., -self.n_off :]
        noise, noise_log_det = Affine(self.clamp).forward(off, self._theta(stay, cond))
        if self.is_initializing():
            z, log_det = self.rest.encode(stay, cond)
        else:
            key = self.dropout_key() if self.has_rng("dropout") else None
            rest, variables = self.rest.unbind()
            z, log_det = call(rest, "encode", variables.get("params", {}), stay, cond, key=key)
        return _concatenate(z, noise), log_det + noise_log_det

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """stay = rest^-1, then off = law^-1(noise; stay)."""
        kept, noise = self._parts(z)
        stay, log_det = self.rest.decode(kept, cond)
        off, noise_log_det = Affine(self.clamp).inverse(noise, self._theta(stay, cond))
        return jnp.concatenate([stay, off], axis=-1), log_det + noise_log_det

    def initialise(
        self, params: Params, x: Array, cond: Array | None, axis_name: str | None
    ) -> tuple[Params, Array]:
        """See `Bijector.initialise`: `rest` starts from what stays."""
        stay = x[..., : -self.n_off]
        rest, _ = self.rest.initialise(params.get("rest", {}), stay, cond, axis_name)
        params = {**params, **({"rest": rest} if rest else {})}
        return super().initialise(params, x, cond, axis_name)

    def pull_back(
        self,
        params: Params,
        z: Array,
        cond: Array | None,
        cotangents: tuple[Array, Array],
        key: Array | None,
    ) -> tuple[Array, Array, Params, Array | None]:
        """See `Bijector.pull_back`: `rest` recovers what stays, which gives what was split off."""
        d_z, d_log_det = cotangents
        kept, noise = self._parts(z)
        d_kept, d_noise = self._parts(d_z)
        params, rest = dict(params), params.get("rest", {})
        params.pop("rest", None)
        rest_key = None if key is None else call(self, "dropout_key", {}, key=key)
        stay, d_stay, d_rest, d_cond = self.rest.pull_back(
            rest, kept, cond, (d_kept, d_log_det), rest_key
        )

        theta_of = functools.partial(call, self, "_theta", key=key)
        theta, theta_vjp = jax.vjp(theta_of, params, stay, cond)
        law = Affine(self.clamp)
        off, _ = law.inverse(noise, theta)
        _, law_vjp = jax.vjp(law.forward, off, theta)
        d_off, d_theta = law_vjp((d_noise, d_log_det))
        d_params, d_stay_theta, d_cond_theta = theta_vjp(d_theta)
        x = jnp.concatenate([stay, off], axis=-1)
        d_x = jnp.concatenate([d_stay + d_stay_theta, d_off], axis=-1)
        d_params = {**d_params, **({"rest": d_rest} if rest else {})}
        return x, d_x, d_params, add_cotangents(d_cond, d_cond_theta)

    def _parts(self, z: Array) -> tuple[Array, Array]:
        """The vector z as the output of `rest` and the noise, in their own shapes."""
        n_noise = self.n_off * _size(self.stay_shape[:-1])
        kept = z[:, :-n_noise].reshape(-1, *self.rest_shape)
        noise = z[:, -n_noise:].reshape(-1, *self.stay_shape[:-1], self.n_off)
        return kept, noise


def _concatenate(z: Array, noise: Array) -> Array:
    n = z.shape[0]
    return jnp.concatenate([z.reshape(n, -1), noise.reshape(n, -1)], axis=1)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
