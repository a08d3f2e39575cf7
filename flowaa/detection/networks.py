"""The networks of detectors: dense for rows, convolutional for images, and the flow's part."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Initializer = Callable[..., Array]

_SLOPE = 0.2  # of the leaky ReLU below zero: no unit of a discriminator dies (Radford et al. 2016)
REACH = 0.5  # in units of the flow's evidence: rows nearer than twice this can be reordered


class DenseNetwork(nn.Module):
    """Dense layers over rows, or over flattened images: [B, ...] to logits [B, n_outputs]."""

    n_outputs: int
    width: int = 128  # features of each hidden layer
    depth: int = 3  # hidden layers
    spectral_norm: bool = False

    @nn.compact
    def __call__(self, x: Array, evidence: Array | None = None) -> Array:
        """Logits [B, n_outputs] of x and evidence [B, S], in units of about 1."""
        hidden = _join(x.reshape(x.shape[0], -1), evidence)
        for _ in range(self.depth):
            hidden = nn.leaky_relu(Layer(self.width, (), self.spectral_norm)(hidden), _SLOPE)
        return Layer(self.n_outputs, (), self.spectral_norm)(hidden)


class ConvNetwork(nn.Module):
    """3×3 convolutions, each second of stride 2, then the mean over pixels: [B, H, W, C] to logits.

    The channels double where the resolution halves.
    """

    n_outputs: int
    width: int = 32  # channels of the first layer
    depth: int = 3  # halvings of the resolution
    spectral_norm: bool = False

    @nn.compact
    def __call__(self, x: Array, evidence: Array | None = None) -> Array:
        """Logits [B, n_outputs] of images and evidence [B, S], in units of about 1."""
        hidden = x
        for level in range(self.depth):
            width = self.width * 2**level
            hidden = nn.leaky_relu(Layer(width, (3, 3), self.spectral_norm)(hidden), _SLOPE)
            hidden = nn.leaky_relu(
                Layer(width, (3, 3), self.spectral_norm, stride=2)(hidden), _SLOPE)
        pooled = _join(hidden.mean((1, 2)), evidence)
        return Layer(self.n_outputs, (), self.spectral_norm)(pooled)


class FlowGuided(nn.Module):
    """A network whose outlier logit follows a flow's evidence, and corrects it within bounds.

    The log-odds of being an outlier are b + a (s + REACH tanh g): s is the evidence from the flow's
    −log p(x), g the network's last output, a > 0 and b learned. So two rows whose s differ by more
    than 2 REACH are ordered as the flow orders them, whatever the network has learned. Where there
    are classes, the last logit is that of being none of them.
    """

    network: nn.Module

    @nn.compact
    def __call__(self, x: Array, evidence: Array) -> Array:
        """Logits [B, n_outputs] of x in units of about 1 and evidence [B, S]."""
        outputs = self.network(x, evidence)
        slope = jax.nn.softplus(self.param("slope", nn.initializers.ones, ()))
        offset = self.param("offset", nn.initializers.zeros, ())
        score = evidence[:, :1] + REACH * jnp.tanh(outputs[:, -1:])
        log_odds = offset + slope * score
        of_classes = outputs[:, :-1]
        if not of_classes.shape[1]:
            return log_odds
        total = jax.nn.logsumexp(of_classes, axis=1, keepdims=True)
        return jnp.concatenate([of_classes, log_odds + total], axis=1)


def _join(features: Array, evidence: Array | None) -> Array:
    return features if evidence is None else jnp.concatenate([features, evidence], axis=1)


class Layer(nn.Module):
    """An affine map of the last axis, or a convolution, whose weight may be kept at norm one.

    With `spectral_norm` the weight is divided by its largest singular value (Miyato et al. 2018; of
    a convolution that of its kernel as a matrix, as there). It is computed, not tracked by power
    iteration: the layer stays a pure function of its parameters.
    """

    n_features: int
    window: tuple[int, ...]  # () for a dense layer
    spectral_norm: bool
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, ..., C] to [B, ..., n_features]."""
        shape = (*self.window, x.shape[-1], self.n_features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.n_features,))
        if self.spectral_norm:
            kernel = kernel / spectral_norm(kernel.reshape(-1, self.n_features))
        if not self.window:
            return x @ kernel + bias
        strides = (self.stride,) * len(self.window)
        return jax.lax.conv_general_dilated(
            x, kernel, strides, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias


def spectral_norm(matrix: Array) -> Array:
    """The largest singular value [] of [M, N].

    The singular vectors are constants to the gradient, which is uvᵀ then: exact, and finite where
    singular values coincide.
    """
    small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T  # the smaller Gram matrix
    fixed = jax.lax.stop_gradient(small)
    _, vectors = jnp.linalg.eigh(fixed @ fixed.T)
    left = vectors[:, -1]
    right = left @ fixed
    # A matrix of zeros has no direction; its norm counts as tiny, so that a weight divided by it is
    # zero, not NaN.
    length = jnp.maximum(jnp.linalg.norm(right), jnp.finfo(matrix.dtype).tiny ** 0.5)
    return jnp.maximum(left @ small @ (right / length), jnp.finfo(matrix.dtype).tiny ** 0.5)
