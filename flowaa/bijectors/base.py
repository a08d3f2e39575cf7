"""The contract every bijector obeys.

`encode` maps data to latent (the thesis's inverse map, eq. 2.2), `decode` latent to data (eq. 2.1).
Both return the log-determinant of the map just applied, one number per example; the two cancel:

    z, log_det = encode(x, cond);    x, -log_det = decode(z, cond)

Arrays are [B, H, W, C] or [B, D]; a condition is a vector [B, E] or a map [B, H', W', E].

Besides, a bijector has two pure functions of its parameters that are called on the unbound module:
`initialise`, for parameters that are set from data, and `pull_back`, the step of reversible
backpropagation (Gomez et al. 2017), which needs the output alone.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Params = Any  # a pytree of parameters: the linen collection `params` of one module

# Makes a coupling function m (thesis Def. 2.2.1): a linen module called m(x, cond, n_outputs=...),
# [B, ..., C] to [B, ..., n_outputs]. A factory, since linen shares a shared module's parameters.
SubnetFactory = Callable[[], nn.Module]


class Bijector(nn.Module):
    """An invertible map with a tractable Jacobian determinant, conditional or not."""

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Data to latent: returns z and log|det dz/dx| [B]."""
        raise NotImplementedError

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Latent to data: returns x and log|det dx/dz| [B]."""
        raise NotImplementedError

    @property
    def depends_on_data(self) -> bool:
        """Whether `initialise` does anything."""
        return False

    def __call__(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """The same as `encode`, so that `init` needs no method."""
        return self.encode(x, cond)

    def initialise(
        self, params: Params, x: Array, cond: Array | None, axis_name: str | None
    ) -> tuple[Params, Array]:
        """Sets the parameters that depend on data; pure, called on the unbound module.

        Args:
            params: this module's parameters.
            x: a batch of inputs.
            cond: their condition.
            axis_name: mapped axis that holds the rest of the global batch, or None.

        Returns:
            The parameters to start from, and the block's output under them.
        """
        del axis_name
        z, _ = call(self, "encode", params, x, cond)
        return params, z

    def pull_back(
        self,
        params: Params,
        z: Array,
        cond: Array | None,
        cotangents: tuple[Array, Array],
        key: Array | None,
    ) -> tuple[Array, Array, Params, Array | None]:
        """Recovers the input of `encode` from its output and pulls cotangents back through it.

        Blocks whose inverse and gradient share work override this; it is called unbound.

        Args:
            params: this module's parameters.
            z: the output of `encode`.
            cond: the condition `encode` had.
            cotangents: of z and of log_det.
            key: the dropout key `encode` had, or None.

        Returns:
            x, and the cotangents of x, of the parameters and of the condition.
        """
        x, _ = call(self, "decode", params, z, cond, key=key)
        x = jax.lax.stop_gradient(x)
        _, vjp = jax.vjp(lambda p, x, c: call(self, "encode", p, x, c, key=key), params, x, cond)
        d_params, d_x, d_cond = vjp(cotangents)
        return x, d_x, d_params, d_cond


def call(
    module: nn.Module, method: str, params: Params, *args: Any, key: Array | None = None
) -> Any:
    """A method of an unbound module as a pure function of its parameters; a key means dropout."""
    rngs = {} if key is None else {"dropout": key}
    return module.apply({"params": params}, *args, method=method, rngs=rngs)


def zero_log_det(x: Array) -> Array:
    """log_det [B] of a map that keeps volume."""
    return jnp.zeros(x.shape[0], x.dtype)


def sum_per_example(values: Array) -> Array:
    """Sums all but the batch axis: [B, ...] to [B]."""
    return values.reshape(values.shape[0], -1).sum(axis=1)


def add_cotangents(a: Array | None, b: Array | None) -> Array | None:
    """Sum of two cotangents of a condition, which may be absent."""
    if a is None:
        return b
    return a if b is None else a + b
