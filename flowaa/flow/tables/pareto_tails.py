"""Tails of a feature that fall as a power: a generalised Pareto law of what exceeds a threshold.

A curve that is straight far out gives the tail of a normal law, whatever a flow of bounded slopes
does after it (Jaini et al. 2020, ICML). So curves go to normal scores by the law of the excesses
where these say that the tail is a power (the tail transform of Hickling & Prangle 2025).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri_exp
from scipy.stats import chi2

_LEAST_EXCESSES = 50  # rows beyond the threshold, fewer tell no index
_LEAST_RATIO = 5.4  # nats that the power wins over an exponential law: once in a thousand by chance
_MOST_EXCESSES = 4000  # evenly spread in rank, that a law is fitted to
_UNLIKE = 0.01  # chance that alike indices are told apart
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


def drawn_together(
    tails: Sequence[ParetoTail], excesses: Sequence[np.ndarray]
) -> list[ParetoTail]:
    """Tails of which those that are powers have one index, if they do not tell several apart.

    One feature's index is known from some hundred rows, and the largest of many estimates would
    rule far out. Whether they are alike says Cochran's Q at 1 %.

    Args:
        tails: of features and sides.
        excesses: [n] each, which they were fitted to.
    """
    powers = [index for index, tail in enumerate(tails) if tail != NO_TAIL]
    found = list(tails)
    if len(powers) < 2:
        return found
    shapes = np.array([tails[index].shape for index in powers])
    errors = (1 + shapes) / np.sqrt([len(excesses[index]) for index in powers])
    weights = 1 / errors ** 2
    mean = weights @ shapes / weights.sum()
    if weights @ (shapes - mean) ** 2 < chi2.isf(_UNLIKE, len(powers) - 1):
        for index in powers:
            found[index] = ParetoTail(_scale_of(excesses[index], float(mean)), float(mean))
    return found


def _scale_of(excess: np.ndarray, shape: float) -> float:
    """The scale of largest likelihood, given the shape."""
    def slope(log_scale: float) -> float:
        unit = excess / np.exp(log_scale)
        return float(((1 + shape) * unit / (1 + shape * unit)).mean() - 1)

    start = np.log(np.median(excess))
    return float(np.exp(brentq(slope, start - 9, start + 9)))


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
