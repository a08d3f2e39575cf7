"""Whether a detector's probabilities are what they say, and a temperature that mends them."""

import dataclasses

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax

_LARGEST = 100.0  # a temperature: beyond it, probabilities say nothing


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that makes logits / T most likely (Guo et al. 2017).

    Args:
        logits: [N] of the second of two classes, or [N, K], of data that trained nothing.
        labels: [N] 0 or 1, or class indices.
    """
    logits = np.asarray(logits, float)
    both = np.stack([np.zeros_like(logits), logits], 1) if logits.ndim == 1 else logits

    def nll(log_temperature: float) -> float:
        log_probs = log_softmax(both / np.exp(log_temperature), axis=1)
        return -float(log_probs[np.arange(len(both)), labels].mean())

    bound = float(np.log(_LARGEST))
    return float(np.exp(minimize_scalar(nll, bounds=(-bound, bound), method="bounded").x))


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Stated probabilities beside what came true."""

    stated: np.ndarray  # [M] mean probability of each bin
    observed: np.ndarray  # [M] share that was right
    error: float  # expected calibration error: mean |stated − observed|, by examples


def reliability(logits: np.ndarray, labels: np.ndarray, *, n_bins: int = 10) -> Reliability:
    """Compares probabilities with outcomes, in bins of equally many examples.

    Args:
        logits: [N] of the second of two classes, or [N, K]: then the top class is judged.
        labels: [N] 0 or 1, or class indices.
        n_bins: at most so many.
    """
    logits = np.asarray(logits, float)
    if logits.ndim == 1:
        stated, came_true = expit(logits), np.asarray(labels)
    else:
        probabilities = softmax(logits, axis=1)
        stated = probabilities.max(1)
        came_true = (probabilities.argmax(1) == labels).astype(int)
    bins = np.array_split(np.argsort(stated, kind="stable"), min(n_bins, len(stated)))
    means = np.array([stated[members].mean() for members in bins])
    observed = np.array([came_true[members].mean() for members in bins])
    sizes = [len(members) for members in bins]
    return Reliability(means, observed, float(np.average(np.abs(observed - means), weights=sizes)))
