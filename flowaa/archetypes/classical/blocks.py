"""The rows of a fit, in blocks of equal size.

A table that fills much of the memory is not copied: all but its first and last rows are read where
they lie. XLA takes host memory as it is only from an aligned address, at which a row need not
begin; hence the one-dimensional view, and the offset of its first block.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax


class Blocks(NamedTuple):
    """N blocks of B rows, centred and of unit scale: C copied ones, then T in the user's table."""

    copied: Array  # [C, B, D] centred and scaled
    table: Array  # [L ≥ T · B · D] rows as they are; [0] where T = 0
    offset: Array  # [] int32 where in `table` its first block begins
    centre: Array  # [D] and …
    scale: Array  # [] … of the table
    weight: Array  # [N, B] sample weights; 0: padding, or a row that does not count
    eligible: Array  # [N, B] bool: whether the row may be part of an archetype

    @property
    def n_blocks(self) -> int:
        """N."""
        return len(self.weight)

    def block(self, i: Array | int) -> Array:
        """Rows [B, D] of block i."""
        n_copied, size, n_features = self.copied.shape
        if n_copied == self.n_blocks:
            return self.copied[i]

        def read() -> Array:
            begin = self.offset + (i - n_copied) * (size * n_features)
            rows = lax.dynamic_slice(self.table, (begin,), (size * n_features,))
            return (rows.reshape(size, n_features) - self.centre) / self.scale

        return lax.cond(i < n_copied, lambda: self.copied[jnp.minimum(i, n_copied - 1)], read)

    def rows(self, place: Array) -> Array:
        """Rows [..., D] at places [...], counted over all blocks."""
        n_features = self.copied.shape[-1]
        flat = self.copied.reshape(-1, n_features)
        if len(self.copied) == self.n_blocks:
            return flat[place]
        first = self.offset + (place - len(flat)) * n_features
        read = self.table[jnp.maximum(first, 0)[..., None] + jnp.arange(n_features)]
        return jnp.where((place < len(flat))[..., None], flat[jnp.minimum(place, len(flat) - 1)],
                         (read - self.centre) / self.scale)
