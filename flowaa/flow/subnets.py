"""Subnets, the coupling functions m (thesis Def. 2.2.1): networks that need not be invertible.

A condition [B, E] enters at the first hidden layer by a dense layer of its own, added at every
pixel. The output layer starts at zero, so that a fresh coupling is the identity. Dropout is on if
and only if the caller gives a key named "dropout".
"""

import flax.linen as nn
import jax

Array = jax.Array


class ConvSubnet(nn.Module):
    """Convolutions with ReLU between: [B, H, W, C] to [B, H, W, n_outputs]."""

    width: int  # channels of each hidden layer
    depth: int = 2  # hidden layers
    kernel_size: int | tuple[int, ...] = 3  # of every layer, or one a layer, the output's last
    dropout_rate: float = 0.0
    dtype: str | None = None  # in which it computes, e.g. "bfloat16"; None: that of its input

    @nn.compact
    def __call__(self, x: Array, cond: Array | None = None, *, n_outputs: int) -> Array:
        """Maps x [B, H, W, C], and a condition, to [B, H, W, n_outputs] in the dtype of x."""
        sizes = self.kernel_size
        if isinstance(sizes, int):
            sizes = (sizes,) * (self.depth + 1)
        kernels = [(size, size) for size in sizes]
        hidden = x
        for layer in range(self.depth):
            hidden = nn.Conv(self.width, kernels[layer], dtype=self.dtype)(hidden)
            if layer == 0 and cond is not None:
                shift = nn.Dense(self.width, use_bias=False, dtype=self.dtype)(cond)
                hidden += shift[:, None, None, :]
            hidden = _dropout(self, nn.relu(hidden), self.dropout_rate)
        zeros = nn.initializers.zeros
        theta = nn.Conv(n_outputs, kernels[-1], kernel_init=zeros, dtype=self.dtype)(hidden)
        return theta.astype(x.dtype)


class DenseSubnet(nn.Module):
    """Dense layers with ReLU between: [B, D] to [B, n_outputs]."""

    width: int  # features of each hidden layer
    depth: int = 2  # hidden layers
    dropout_rate: float = 0.0
    dtype: str | None = None  # in which it computes, e.g. "bfloat16"; None: that of its input

    @nn.compact
    def __call__(self, x: Array, cond: Array | None = None, *, n_outputs: int) -> Array:
        """Maps x [B, D], and a condition, to [B, n_outputs] in the dtype of x."""
        hidden = x
        for layer in range(self.depth):
            hidden = nn.Dense(self.width, dtype=self.dtype)(hidden)
            if layer == 0 and cond is not None:
                hidden += nn.Dense(self.width, use_bias=False, dtype=self.dtype)(cond)
            hidden = _dropout(self, nn.relu(hidden), self.dropout_rate)
        zeros = nn.initializers.zeros
        return nn.Dense(n_outputs, kernel_init=zeros, dtype=self.dtype)(hidden).astype(x.dtype)


class AttentionSubnet(nn.Module):
    """A transformer over the pixels of its resolution: [B, H, W, C] to [B, H, W, n_outputs].

    Each pixel is a token with a learned position; layers are pre-normalised residual attention and
    dense pairs, as in couplings of Jet (Kolesnikov et al. 2024, arXiv 2412.15129). Squeezes before
    it make the patches.
    """

    width: int  # features of a token
    depth: int = 2  # pairs of attention and dense layers
    n_heads: int = 4  # that divide the width
    dropout_rate: float = 0.0
    dtype: str | None = None  # in which it computes, e.g. "bfloat16"; None: that of its input

    @nn.compact
    def __call__(self, x: Array, cond: Array | None = None, *, n_outputs: int) -> Array:
        """Maps x [B, H, W, C], and a condition, to [B, H, W, n_outputs] in the dtype of x."""
        batch, height, width, channels = x.shape
        hidden = nn.Dense(self.width, dtype=self.dtype)(
            x.reshape(batch, height * width, channels))
        place = self.param("place", nn.initializers.normal(0.02), (height * width, self.width))
        hidden += place.astype(hidden.dtype)
        if cond is not None:
            hidden += nn.Dense(self.width, use_bias=False, dtype=self.dtype)(cond)[:, None, :]
        for _ in range(self.depth):
            attended = nn.MultiHeadDotProductAttention(self.n_heads, dtype=self.dtype)(
                nn.LayerNorm(dtype=self.dtype)(hidden))
            hidden += _dropout(self, attended, self.dropout_rate)
            wide = nn.gelu(nn.Dense(2 * self.width, dtype=self.dtype)(
                nn.LayerNorm(dtype=self.dtype)(hidden)))
            hidden += _dropout(self, nn.Dense(self.width, dtype=self.dtype)(wide),
                               self.dropout_rate)
        zeros = nn.initializers.zeros
        theta = nn.Dense(n_outputs, kernel_init=zeros, dtype=self.dtype)(
            nn.LayerNorm(dtype=self.dtype)(hidden))
        return theta.reshape(batch, height, width, n_outputs).astype(x.dtype)


def _dropout(subnet: nn.Module, hidden: Array, rate: float) -> Array:
    if rate == 0.0 or not subnet.has_rng("dropout"):
        return hidden
    return nn.Dropout(rate, deterministic=False, parent=subnet)(hidden)
