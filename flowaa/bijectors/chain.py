"""Bijectors one after another, with three memory modes of their gradient (thesis eq. 2.1, 2.9).

Memory modes of a chain, all of which give the same values:

    stored       autodiff as usual: every block's activations are kept
    remat        every block's activations are computed again from its kept input
    reversible   only the output is kept; in the backward pass each block recovers its input from
                 its output (Gomez et al. 2017, arXiv 1707.04585): memory does not grow with depth

A chain is unrolled by default: XLA:CPU runs convolutions ten times slower inside a loop. With
`scan`, runs of equal blocks become one `lax.scan` over their stacked parameters, whose compile time
does not grow with depth; for accelerators.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from flowaa.bijectors.base import (
    Array,
    Bijector,
    Params,
    add_cotangents,
    bound,
    params_of,
    zero_log_det,
)

Memory = Literal["stored", "remat", "reversible"]


class Chain(Bijector):
    """encode applies its blocks first to last, decode last to first; log-determinants add up."""

    blocks: tuple[Bijector, ...]
    memory: Memory = "stored"  # of `encode`; an outer reversible chain overrides it
    scan: bool = False

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = f_L(... f_1(x)); log_det = sum of the blocks'."""
        if self.is_initializing():
            log_det = zero_log_det(x)
            for block in self.blocks:
                x, block_log_det = block.encode(x, cond)
                log_det = log_det + block_log_det
            return x, log_det
        key = self.dropout_key() if self.has_rng("dropout") else None
        encode = _encode_reversible if self.memory == "reversible" else _encode
        return encode(self.unbind()[0], self.block_params(), x, cond, key)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = f_1^-1(... f_L^-1(z)); log_det = sum of the inverses'."""
        return _decode(self.unbind()[0], self.block_params(), z, cond)

    def block_params(self) -> list[Params]:
        """The parameters of each block."""
        return [params_of(block) for block in self.blocks]

    def dropout_key(self) -> Array:
        """The key this chain draws once in `encode` and hands down, a fold for each block."""
        return self.make_rng("dropout")

    def round_trip_errors(self, x: Array, cond: Array | None = None) -> Array:
        """Largest |f^-1(f(x)) - x| of each block f, at its own input: [blocks]."""
        errors: list[Array] = []
        (chain, _), params = self.unbind(), self.block_params()
        for run in _runs(chain):

            def step(
                x: Array, own: Params, block: Bijector = chain.blocks[run.start]
            ) -> tuple[Array, Array]:
                z, _ = bound(block, own).encode(x, cond)
                back, _ = bound(block, own).decode(z, cond)
                return z, jnp.abs(back - x).max()

            x, run_errors = _fold(step, x, [params[index] for index in run])
            errors += run_errors
        return jnp.stack(errors)

    def pull_back(
        self,
        params: Params,
        z: Array,
        cond: Array | None,
        cotangents: tuple[Array, Array],
        dropout_key: Array | None,
    ) -> tuple[Array, Array, Params, Array | None]:
        """See `Bijector.pull_back`: the blocks' own, last to first."""
        if dropout_key is not None:
            dropout_key = bound(self, params, dropout_key=dropout_key).dropout_key()
        # The gradient of taking the parameters apart puts their cotangents together again.
        block_params, together = jax.vjp(lambda own: bound(self, own).block_params(), params)
        x, d_x, d_block_params, d_cond = _pull_back(
            self, block_params, z, cond, cotangents, dropout_key)
        return x, d_x, together(d_block_params)[0], d_cond


def _encode(
    chain: Chain, params: list[Params], x: Array, cond: Array | None, key: Array | None
) -> tuple[Array, Array]:
    """`Chain.encode` as a pure function of the blocks' parameters."""
    log_det = zero_log_det(x)
    for run in _runs(chain):

        def step(
            carry: tuple[Array, Array], own: tuple[Params, Array | None],
            block: Bijector = chain.blocks[run.start],
        ) -> tuple[tuple[Array, Array], None]:
            (x, log_det), (block_params, block_key) = carry, own
            x, block_log_det = bound(block, block_params, dropout_key=block_key).encode(x, cond)
            return (x, log_det + block_log_det), None

        if chain.memory == "remat":
            step = jax.checkpoint(step)
        own = [(params[index], _key_of(key, index)) for index in run]
        (x, log_det), _ = _fold(step, (x, log_det), own)
    return x, log_det


def _decode(
    chain: Chain, params: list[Params], z: Array, cond: Array | None
) -> tuple[Array, Array]:
    """`Chain.decode` as a pure function of the blocks' parameters."""
    log_det = zero_log_det(z)
    for run in reversed(_runs(chain)):

        def step(
            carry: tuple[Array, Array], own: Params, block: Bijector = chain.blocks[run.start]
        ) -> tuple[tuple[Array, Array], None]:
            z, log_det = carry
            z, block_log_det = bound(block, own).decode(z, cond)
            return (z, log_det + block_log_det), None

        own = [params[index] for index in reversed(run)]
        (z, log_det), _ = _fold(step, (z, log_det), own)
    return z, log_det


def _encode_reversible(
    chain: Chain, params: list[Params], x: Array, cond: Array | None, key: Array | None
) -> tuple[Array, Array]:
    """`_encode` whose backward pass needs only the output."""

    @jax.custom_vjp
    def encode(
        params: list[Params], x: Array, cond: Array | None, key: Array | None
    ) -> tuple[Array, Array]:
        return _encode(chain, params, x, cond, key)

    def forward(params: list[Params], x: Array, cond: Array | None, key: Array | None) -> tuple:
        z, log_det = _encode(chain, params, x, cond, key)
        return (z, log_det), (params, z, cond, key)

    def backward(kept: tuple, cotangents: tuple[Array, Array]) -> tuple:
        params, z, cond, key = kept
        _, d_x, d_params, d_cond = _pull_back(chain, params, z, cond, cotangents, key)
        return d_params, d_x, d_cond, None

    encode.defvjp(forward, backward)
    return encode(params, x, cond, key)


def _pull_back(
    chain: Chain,
    params: list[Params],
    z: Array,
    cond: Array | None,
    cotangents: tuple[Array, Array],
    key: Array | None,
) -> tuple[Array, Array, list[Params], Array | None]:
    """The blocks' `pull_back`, last to first."""
    d_x, d_log_det = cotangents
    d_cond = jax.tree.map(jnp.zeros_like, cond)
    d_params: list[Params] = [None] * len(params)
    for run in reversed(_runs(chain)):

        def step(
            carry: tuple[Array, Array, Array | None], own: tuple[Params, Array | None],
            block: Bijector = chain.blocks[run.start],
        ) -> tuple[tuple[Array, Array, Array | None], Params]:
            (z, d_x, d_cond), (block_params, block_key) = carry, own
            x, d_x, d_own, d_block_cond = block.pull_back(
                block_params, z, cond, (d_x, d_log_det), block_key
            )
            return (x, d_x, add_cotangents(d_cond, d_block_cond)), d_own

        backwards = list(reversed(run))
        own = [(params[index], _key_of(key, index)) for index in backwards]
        (z, d_x, d_cond), d_own = _fold(step, (z, d_x, d_cond), own)
        # Without the barrier XLA may run all the inverses first and keep their results after all.
        z, d_x = jax.lax.optimization_barrier((z, d_x))
        for index, own in zip(backwards, d_own, strict=True):
            d_params[index] = own
    return z, d_x, d_params, d_cond


def _runs(chain: Chain) -> list[range]:
    """Indices of the blocks by run: with `scan`, equal blocks that follow one another are one."""
    found: list[range] = []
    for index, block in enumerate(chain.blocks):
        if chain.scan and found and block == chain.blocks[found[-1].start]:
            found[-1] = range(found[-1].start, index + 1)
        else:
            found.append(range(index, index + 1))
    return found


def _fold(step: Callable, carry: Any, own: list[Any]) -> tuple[Any, list[Any]]:
    """Folds `step` over the arrays of each block of a run, by `lax.scan` if there are several."""
    if len(own) == 1:
        carry, out = step(carry, own[0])
        return carry, [out]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *own)
    carry, outs = jax.lax.scan(step, carry, stacked)
    return carry, [jax.tree.map(lambda leaf, i=i: leaf[i], outs) for i in range(len(own))]


def _key_of(key: Array | None, index: int) -> Array | None:
    """A block's dropout key."""
    return None if key is None else jax.random.fold_in(key, index)
