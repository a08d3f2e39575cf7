"""Tails of a feature that fall as a power: a generalised Pareto law of what exceeds a threshold.

A curve that is straight far out gives the tail of a normal law, whatever a flow of bounded slopes
does after it (Jaini et al. 2020, ICML). So curves go to normal scores by the law of the excesses
where these say that the tail is a power (the tail transform of Hickling & Prangle 2025).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

_LEAST_EXCESSES = 50  # rows beyond the threshold, fewer tell no index
_LEAST_RATIO = 5.4  # nats that the power wins over an exponential law: once in a thousand by chance
_MOST_EXCESSES = 4000  # evenly spread in rank, that a law is fitted to
_PRIOR = 3.0  # of Zhang & Stephens, how far scales are sought beyond the first quartile


class ParetoTail(NamedTuple):
    """P(X > u + e) = P(X > u) (1 + shape e / scale)^(-1 / shape); shape 0: no such tail."""

    scale: float
    shape: float

    def score(self, excess: np.ndarray, log_share: float) -> tuple[np.ndarray, np.ndarray]:
        """Normal scores [n] of excesses [n], and the logs of their slopes.

        Args:
            excess: how far beyond the threshold, at least 0.
            log_share: of the probability beyond the threshold.
        """
        log_survival = log_share - np.log1p(self.shape * excess / self.scale) / self.shape
        z = -ndtri_exp(log_survival)
        log_normal = -0.5 * (z ** 2 + np.log(2 * np.pi))
        return z, log_survival - np.log(self.scale + self.shape * excess) - log_normal

    def excess(self, z: np.ndarray, log_share: float) -> np.ndarray:
        """Excesses [n] with normal scores z [n], the inverse of `score`."""
        ratio = np.maximum(log_share - log_ndtr(-z), 0.0)
        with np.errstate(over="ignore"):
            return self.scale / self.shape * np.expm1(self.shape * ratio)


NO_TAIL = ParetoTail(0.0, 0.0)


def heavy_tail(excess: np.ndarray) -> ParetoTail:
    """The law of excesses [n] if they fall as a power, else `NO_TAIL`.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> round(heavy_tail(rng.pareto(2.0, 2000)).shape, 1)
    0.5
    >>> heavy_tail(rng.exponential(size=2000))
    ParetoTail(scale=0.0, shape=0.0)
    """
    n = len(excess)
    if n < _LEAST_EXCESSES:
        return NO_TAIL
    sorted_excess = np.sort(excess)[np.linspace(0, n - 1, min(n, _MOST_EXCESSES)).astype(int)]
    tail = fit_pareto(sorted_excess)
    if not tail.shape > 0:
        return NO_TAIL
    unit = excess / tail.scale
    gain = (n * (np.log(excess.mean() / tail.scale) + 1)
            - (1 + 1 / tail.shape) * np.log1p(tail.shape * unit).sum())
    return tail if gain > _LEAST_RATIO else NO_TAIL


def fit_pareto(excess: np.ndarray) -> ParetoTail:
    """Scale and shape of increasing positive values [n] (Zhang & Stephens 2009, Technometrics 51).

    A posterior mean over a grid, as accurate as maximum likelihood and without its search.
    """
    n = len(excess)
    grid = 30 + int(np.sqrt(n))
    quartile = max(excess[int(n / 4 + 0.5) - 1], 1e-12 * excess[-1])
    rate = 1 / excess[-1] + (1 - np.sqrt(grid / (np.arange(grid) + 0.5))) / (_PRIOR * quartile)
    shape = np.log1p(-rate[:, None] * excess).mean(1)
    log_likelihood = n * (np.log(-rate / shape) - shape - 1)
    weight = np.exp(log_likelihood - log_likelihood.max())
    mean_rate = rate @ weight / weight.sum()
    mean_shape = float(np.log1p(-mean_rate * excess).mean())
    return ParetoTail(float(-mean_shape / mean_rate), mean_shape)
