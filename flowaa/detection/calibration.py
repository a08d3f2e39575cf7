"""Whether a detector's probabilities come true, and a temperature that makes them do so."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax

_BOUND = float(np.log(100.0))  # of |log T|
_STEP = 0.05  # in log T, of the second difference
_PRIOR_STD = 1.0  # of log T, about 0: a weak prior, of the weight of a handful of rows


class Temperature(NamedTuple):
    """A divisor of logits, and whether the rows say more about it than the prior does."""

    value: float
    is_identified: bool


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Temperature:
    """The most probable temperature T of probabilities softmax(logits / T) (Guo et al. 2017).

    log T has a normal prior with mean 0 and standard deviation 1. Without it T would run to 0 where
    the scores separate the classes, since each smaller T fits better. T is identified where the
    likelihood alone has a maximum, and more curvature in log T there than the prior: where the rows
    determine T to within a factor of e.

    Args:
        logits: [N] of the second of two classes, or [N, K], of rows that trained nothing.
        labels: [N] 0 or 1, or class indices.
        weights: [N] numbers of observations that each row counts for; None counts each once.
    """
    logits = np.asarray(logits, float)
    both = np.stack([np.zeros_like(logits), logits], 1) if logits.ndim == 1 else logits
    weights = np.ones(len(both)) if weights is None else np.asarray(weights, float)

    def nll(log_temperature: float) -> float:
        log_probs = log_softmax(both / np.exp(log_temperature), axis=1)
        return -float(weights @ log_probs[np.arange(len(both)), labels])

    def minimum(loss: Callable[[float], float]) -> float:
        return float(minimize_scalar(loss, bounds=(-_BOUND, _BOUND), method="bounded").x)

    best = minimum(lambda value: nll(value) + 0.5 * (value / _PRIOR_STD) ** 2)
    likeliest = minimum(nll)
    curvature = (nll(likeliest + _STEP) - 2 * nll(likeliest) + nll(likeliest - _STEP)) / _STEP**2
    is_identified = abs(likeliest) < _BOUND - _STEP and curvature > 1 / _PRIOR_STD**2
    return Temperature(float(np.exp(best)), is_identified)


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Stated probabilities beside the frequencies with which they came true."""

    stated: np.ndarray  # [M] mean probability of each bin
    observed: np.ndarray  # [M] share of each bin that was right
    error: float  # expected calibration error: mean |stated − observed| over examples
    probabilities: np.ndarray  # [N] stated of each example


def reliability(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, *, n_bins: int = 10
) -> Reliability:
    """Compares probabilities with outcomes, in bins of equally many examples.

    Args:
        logits: [N] of the second of two classes, or [N, K]: then the top class is judged.
        labels: [N] 0 or 1, or class indices.
        weights: [N] of the examples within their bin and in the error; None counts each once.
        n_bins: the most bins.
    """
    logits = np.asarray(logits, float)
    if logits.ndim == 1:
        stated, came_true = expit(logits), np.asarray(labels)
    else:
        probabilities = softmax(logits, axis=1)
        stated = probabilities.max(1)
        came_true = (probabilities.argmax(1) == labels).astype(int)
    weights = np.ones(len(stated)) if weights is None else np.asarray(weights, float)
    bins = np.array_split(np.argsort(stated, kind="stable"), min(n_bins, len(stated)))
    means, observed = (
        np.array([np.average(values[members], weights=weights[members]) for members in bins])
        for values in (stated, came_true))
    sizes = [weights[members].sum() for members in bins]
    error = float(np.average(np.abs(observed - means), weights=sizes))
    return Reliability(means, observed, error, stated)
