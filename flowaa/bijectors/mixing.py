"""Mixing of channels between coupling layers, along the last axis."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from flowaa.bijectors.base import Array, Bijector, zero_log_det

# Up to this width a permutation is a product with a 0/1 matrix: on XLA:CPU a gather costs up to a
# fifth of a step, and its gradient, a scatter, more. For more channels the product costs more.
_MATRIX_MAX_CHANNELS = 256


class Permutation(Bijector):
    """A fixed random permutation of the channels, never the identity; log_det = 0.

    It is a constant given by its seed, not a parameter.
    """

    seed: int
    n_exchanged: int = 0  # the first so many channels are moved to places after them

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z_c = x_perm(c)."""
        return _permute(x, self._order(x.shape[-1])), zero_log_det(x)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x_perm(c) = z_c."""
        return _permute(z, np.argsort(self._order(z.shape[-1]))), zero_log_det(z)

    def _order(self, n_channels: int) -> np.ndarray:
        random = np.random.default_rng(self.seed)
        order = random.permutation(n_channels)
        identity, n = np.arange(n_channels), self.n_exchanged
        # Half of all permutations of two channels are the identity, one of a million of ten.
        while not n and n_channels > 1 and (order == identity).all():
            order = random.permutation(n_channels)
        if n:  # the first places are filled from the channels after the first n
            first = random.choice(identity[n:], n, replace=False)
            order = np.concatenate([first, random.permutation(np.setdiff1d(identity, first))])
        return order


class Orthogonal(Bijector):
    """A fixed random orthogonal map of the channels, Haar-distributed; log_det = 0."""

    seed: int

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = x Q."""
        return _times(x, self._matrix(x)), zero_log_det(x)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = z Q^T."""
        return _times(z, self._matrix(z).T), zero_log_det(z)

    def _matrix(self, x: Array) -> Array:
        return jnp.asarray(random_orthogonal(self.seed, x.shape[-1]), x.dtype)


class InvertibleLinear(Bijector):
    """A learned invertible map of the channels, W = P L U (Kingma & Dhariwal 2018, eq. 10).

    P is fixed, L unit lower triangular, U upper triangular with diagonal sign * exp(log_diagonal);
    encode z = x W^T, log_det = (pixels) * sum log_diagonal. It starts as a random rotation.
    """

    seed: int

    @nn.compact
    def _factors(self, n_channels: int, dtype: jnp.dtype) -> tuple[Array, Array, Array, Array]:
        """P, L, U and log_diagonal."""
        permutation, lower, upper = scipy.linalg.lu(random_orthogonal(self.seed, n_channels))
        diagonal = np.diag(upper)
        lower = self._parameter("lower", np.tril(lower, -1))
        upper = self._parameter("upper", np.triu(upper, 1))
        log_diagonal = self._parameter("log_diagonal", np.log(np.abs(diagonal)))
        # Only the triangles are used: weight decay of the other entries has no effect.
        lower = jnp.tril(lower, -1) + jnp.eye(n_channels, dtype=dtype)
        sign = jnp.asarray(np.sign(diagonal), dtype)
        upper = jnp.triu(upper, 1) + jnp.diag(sign * jnp.exp(log_diagonal))
        return jnp.asarray(permutation, dtype), lower, upper, log_diagonal

    def _parameter(self, name: str, start: np.ndarray) -> Array:
        return self.param(name, lambda _: jnp.asarray(start, jnp.float32))

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = x W^T; log_det = pixels * sum log_diagonal."""
        permutation, lower, upper, log_diagonal = self._factors(x.shape[-1], x.dtype)
        weight = _times(permutation, _times(lower, upper))
        return _times(x, weight.T), _per_pixel(x, log_diagonal)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = z W^-T, with W^-1 = U^-1 L^-1 P^T by two triangular solves."""
        permutation, lower, upper, log_diagonal = self._factors(z.shape[-1], z.dtype)
        solve = jax.scipy.linalg.solve_triangular
        inverse = solve(upper, solve(lower, permutation.T, lower=True, unit_diagonal=True))
        return _times(z, inverse.T), -_per_pixel(z, log_diagonal)


class Linear(Bijector):
    """A learned invertible matrix W and bias b of rows [B, D]; it starts as the identity.

    encode z = x W + b, log_det = log|det W|. W is no product of factors, as `InvertibleLinear`'s
    is, so that any matrix can be its start, as the one to principal components; a call takes O(D^3)
    operations.
    """

    @nn.compact
    def _parameters(self, n: int) -> tuple[Array, Array]:
        """W [D, D] and b [D]."""
        matrix = self.param("matrix", lambda _: jnp.eye(n, dtype=jnp.float32))
        return matrix, self.param("bias", lambda _: jnp.zeros(n, jnp.float32))

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = x W + b; log_det = log|det W|."""
        matrix, bias = self._parameters(x.shape[-1])
        log_det = jnp.linalg.slogdet(matrix.astype(x.dtype))[1]
        return _times(x, matrix) + bias, jnp.full(len(x), log_det)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = (z - b) W^-1."""
        matrix, bias = self._parameters(z.shape[-1])
        matrix = matrix.astype(z.dtype)
        x = jnp.linalg.solve(matrix.T, (z - bias).T).T
        return x, jnp.full(len(z), -jnp.linalg.slogdet(matrix)[1])


class ActNorm(Bijector):
    """A learned scale and shift of each channel (Kingma & Dhariwal 2018, arXiv 1807.03039, 3.1).

    encode z = (x + bias) exp(log_scale), log_det = (pixels) * sum log_scale. They start from the
    batch that `init` is given, whose output has mean 0 and deviation 1 in each channel. A channel
    whose deviation is below `minimum_std` times the root mean square of all channels' is taken to
    have that much: the noise of a nearly constant channel must not be blown up to deviation 1.
    """

    minimum_std: float = 1e-2

    @nn.compact
    def _parameters(self, x: Array) -> tuple[Array, Array]:
        """bias and log_scale [C] each."""
        axes = tuple(range(x.ndim - 1))

        def first_log_scale(_: Array) -> Array:
            variance = x.var(axes).astype(jnp.float32)
            floor = self.minimum_std**2 * variance.mean()
            # Where all channels are constant there is no scale to start from.
            return jnp.where(floor > 0, -0.5 * jnp.log(jnp.maximum(variance, floor)), 0.0)

        bias = self.param("bias", lambda _: -x.mean(axes).astype(jnp.float32))
        return bias, self.param("log_scale", first_log_scale)

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """z = (x + bias) exp(log_scale)."""
        bias, log_scale = self._parameters(x)
        return (x + bias) * jnp.exp(log_scale), _per_pixel(x, log_scale)

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = z exp(-log_scale) - bias."""
        bias, log_scale = self._parameters(z)
        return z * jnp.exp(-log_scale) - bias, -_per_pixel(z, log_scale)


def random_orthogonal(seed: int, size: int) -> np.ndarray:
    """A Haar-distributed orthogonal matrix [size, size], float64, fixed by its seed."""
    gaussian = np.random.default_rng(seed).normal(size=(size, size))
    q, r = np.linalg.qr(gaussian)
    return q * np.sign(np.diag(r))  # makes it uniform (Mezzadri 2007)


def _permute(x: Array, order: np.ndarray) -> Array:
    """x[..., order]."""
    n_channels = x.shape[-1]
    if n_channels <= _MATRIX_MAX_CHANNELS:
        return _times(x, jnp.asarray(np.eye(n_channels)[:, order], x.dtype))
    return _gather(x, tuple(order))


def _gather(x: Array, order: tuple[int, ...]) -> Array:
    """x[..., order], with a gather for its gradient too, where autodiff would make a scatter."""

    @jax.custom_vjp
    def gather(x: Array) -> Array:
        return jnp.take(x, np.asarray(order), axis=-1, unique_indices=True, mode="clip")

    def backward(_: None, cotangent: Array) -> tuple[Array]:
        return (_gather(cotangent, tuple(np.argsort(order))),)

    gather.defvjp(lambda x: (gather(x), None), backward)
    return gather(x)


def _times(x: Array, matrix: Array) -> Array:
    """x @ matrix along the last axis, in full precision: TF32 or bfloat16 would not invert."""
    return jnp.matmul(x, matrix.astype(x.dtype), precision=jax.lax.Precision.HIGHEST)


def _per_pixel(x: Array, log_scale: Array) -> Array:
    """log_det [B] of a linear map applied at each pixel."""
    n_pixels = np.prod(x.shape[1:-1], dtype=int)
    return jnp.full(x.shape[0], n_pixels * log_scale.sum(), x.dtype)
