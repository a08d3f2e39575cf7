"""The contract every bijector obeys.

`encode` maps data to latent (the thesis's inverse map, eq. 2.2), `decode` latent to data (eq. 2.1).
Both return the log-determinant of the map just applied, one number per example; the two cancel:

    z, log_det = encode(x, cond);    x, -log_det = decode(z, cond)

Arrays are [B, H, W, C] or [B, D]; a condition is [B, E]. Parameters that start from data, such as
`ActNorm`'s, are computed from the batch that linen's `init` is given.

`pull_back`, the step of reversible backpropagation (Gomez et al. 2017, arXiv 1707.04585), needs the
output of `encode` alone. It is a pure function of the parameters, called on the unbound module.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Params = Any  # a pytree of parameters: the linen collection `params` of one module
ModuleT = TypeVar("ModuleT", bound=nn.Module)

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

    def __call__(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """The same as `encode`, so that `init` needs no method."""
        return self.encode(x, cond)

    def pull_back(
        self,
        params: Params,
        z: Array,
        cond: Array | None,
        cotangents: tuple[Array, Array],
        dropout_key: Array | None,
    ) -> tuple[Array, Array, Params, Array | None]:
        """Recovers the input of `encode` from its output and pulls cotangents back through it.

        Blocks whose inverse and gradient share work override this.

        Args:
            params: this module's parameters.
            z: the output of `encode`.
            cond: the condition `encode` had.
            cotangents: of z and of log_det.
            dropout_key: the key `encode` had, or None.

        Returns:
            x, and the cotangents of x, of the parameters and of the condition.
        """
        x, _ = bound(self, params, dropout_key=dropout_key).decode(z, cond)

        def encode(params: Params, x: Array, cond: Array | None) -> tuple[Array, Array]:
            return bound(self, params, dropout_key=dropout_key).encode(x, cond)

        _, vjp = jax.vjp(encode, params, jax.lax.stop_gradient(x), cond)
        d_params, d_x, d_cond = vjp(cotangents)
        return x, d_x, d_params, d_cond


def bound(module: ModuleT, params: Params, *, dropout_key: Array | None = None) -> ModuleT:
    """The module with these parameters, whose methods are then pure functions of their arguments.

        log_prob = bound(flow, params).log_prob(u, label)

    Dropout is on exactly if there is a key for it. Call `bound` within the function that JAX
    transforms: linen refuses a module that was bound outside of the `grad` or `scan` it is used in.
    """
    rngs = None if dropout_key is None else {"dropout": dropout_key}
    return module.bind({"params": params}, rngs=rngs)


def params_of(module: nn.Module) -> Params:
    """The parameters of a bound module, or of a module within one; {} where it has none."""
    return module.variables.get("params", {})


def zero_log_det(x: Array) -> Array:
    """log_det [B] of a map that keeps volume."""
    return jnp.zeros(x.shape[0], x.dtype)


def sum_per_example(values: Array) -> Array:
    """Sums all but the batch axis: [B, ...] to [B]."""
    return values.reshape(values.shape[0], -1).sum(axis=1)


def add_cotangents(a: Any, b: Any) -> Any:
    """Sum of two cotangents of the same tree, of which either may be None for zero."""
    if a is None or b is None:
        return b if a is None else a
    return jax.tree.map(jnp.add, a, b)
