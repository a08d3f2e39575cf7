"""A flow of table rows: marginal curves, whitening, then a chain of bijectors to N(0, 1)^D."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np
from sklearn.covariance import LedoitWolf

from flowaa.bijectors.base import Params, bound
from flowaa.bijectors.chain import Chain
from flowaa.flow.tables.marginals import Marginals

Array = jax.Array
Encode = Callable[[Array, Array | None], tuple[Array, Array]]

_LEAST_BATCH, _MOST_BATCH = 256, 8192  # rows; batches are powers of two between these
_BATCH_VALUES = 2**20  # and no more than about so many numbers
_FURTHEST = 1e30  # of what the chain is given: it and its linear maps stay in float32
_LEAST_VARIANCE = 1e-6  # of a principal direction of the scores, whose own variances are near 1


@dataclasses.dataclass(frozen=True)
class Whitening:
    """u = (z - mean) W, with covariance 1 under the estimate of Ledoit & Wolf (2004).

    Attributes:
        mean: [D].
        matrix: [D, D] W.
        inverse: [D, D] of W.
        log_det: log|det W|.
    """

    mean: np.ndarray
    matrix: np.ndarray
    inverse: np.ndarray
    log_det: float


def fit_whitening(z: np.ndarray) -> Whitening:
    """The whitening of rows z [n, D]."""
    estimate = LedoitWolf().fit(z)
    variances, directions = np.linalg.eigh(estimate.covariance_)
    deviations = np.sqrt(np.maximum(variances, _LEAST_VARIANCE))
    return Whitening(estimate.location_, directions / deviations,
                     (directions * deviations).T, -float(np.log(deviations).sum()))


@dataclasses.dataclass(frozen=True)
class WhiteScores:
    """What comes before the chain, fitted without training: normal scores, whitened."""

    marginals: Marginals
    whitening: Whitening

    def encode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the chain is given, u [n, D] of rows x [n, D], and log|det du/dx| [n]."""
        z, log_slope = self.marginals.to_scores(x)
        return (z - self.whitening.mean) @ self.whitening.matrix, log_slope + self.whitening.log_det

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p [n] of rows x [n, D] where the chain changes nothing, in nats."""
        u, log_det = self.encode(x)
        return log_det - 0.5 * (u**2 + np.log(2 * np.pi)).sum(1)

    def decode(self, u: np.ndarray) -> np.ndarray:
        """Rows x [n, D] of u [n, D]."""
        return self.marginals.to_data(u @ self.whitening.inverse + self.whitening.mean)


@dataclasses.dataclass(frozen=True)
class TableFlow:
    """log p(x) of rows x [n, D], float64 before and float32 within the chain."""

    before: WhiteScores
    chain: Chain
    params: Params

    def encode(self, x: np.ndarray, context: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Latents [n, D] and log|det dz/dx| [n]; context [n, E] or None.

        Latents of rows that float32 does not hold are infinite, so that their density is 0.
        """
        u, log_det = self.before.encode(x)
        is_far = ~(np.abs(u) < _FURTHEST).all(1)
        u[is_far], log_det[is_far] = 0.0, 0.0
        z, chain_log_det = in_batches(
            functools.partial(_encode, self.chain, self.params), u, context)
        return np.where(is_far[:, None], np.float32(np.inf), z), log_det + chain_log_det

    def log_prob(self, x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        """log p(x | context) [n] in nats."""
        z, log_det = self.encode(x, context)
        return log_det - 0.5 * (z.astype(np.float64) ** 2 + np.log(2 * np.pi)).sum(1)

    def decode(self, z: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        """Rows [n, D] of latents z [n, D]."""
        u, _ = in_batches(functools.partial(_decode, self.chain, self.params), z, context)
        return self.before.decode(u.astype(np.float64))


def in_batches(function: Encode, u: np.ndarray, context: np.ndarray | None
               ) -> tuple[np.ndarray, np.ndarray]:
    """`function` of float32 rows, in batches of few shapes, so that few programs are compiled."""
    most = int(np.clip(2 ** int(np.log2(max(_BATCH_VALUES // u.shape[1], 1))),
                       _LEAST_BATCH, _MOST_BATCH))
    rows, values = [], []
    for start in range(0, len(u), most):
        part = u[start:start + most].astype(np.float32)
        size = max(_LEAST_BATCH, 2 ** int(np.ceil(np.log2(len(part)))))
        fill = ((0, size - len(part)), (0, 0))
        given = None if context is None else np.pad(
            context[start:start + most].astype(np.float32), fill)
        row, value = function(np.pad(part, fill), given)  # type: ignore[arg-type]
        rows.append(np.asarray(row)[:len(part)])
        values.append(np.asarray(value)[:len(part)])
    return np.concatenate(rows), np.concatenate(values)


@functools.partial(jax.jit, static_argnums=0)
def _encode(chain: Chain, params: Params, u: Array, context: Array | None) -> tuple[Array, Array]:
    return bound(chain, params).encode(u, context)


@functools.partial(jax.jit, static_argnums=0)
def _decode(chain: Chain, params: Params, z: Array, context: Array | None) -> tuple[Array, Array]:
    return bound(chain, params).decode(z, context)
