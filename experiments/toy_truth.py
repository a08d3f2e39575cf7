"""The densities that the toy data sets were drawn from, to compare with."""

import numpy as np
from scipy.special import logsumexp

from flowaa.data.sources.toy import MIXTURE_MEANS, MOONS_NOISE

_ANGLES = 400  # of each half circle, at which its density is summed
_CHUNK = 2_000  # points at a time


def true_log_prob(name: str, x: np.ndarray) -> np.ndarray | None:
    """ln p(x) [N] of points [N, 2] in nats; None for other data than `mixture` and `moons`."""
    if name == "mixture":
        return _gaussians(x, np.asarray(MIXTURE_MEANS), 1.0)
    if name == "moons":
        # Uniform in the angle along both arcs, as in scikit-learn, plus noise: by the midpoint
        # rule, whose steps are far smaller than the noise.
        angle = (np.arange(_ANGLES) + 0.5) * np.pi / _ANGLES
        outer = np.stack([np.cos(angle), np.sin(angle)], 1)
        inner = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
        return _gaussians(x, np.concatenate([outer, inner]), MOONS_NOISE)
    return None


def _gaussians(x: np.ndarray, centres: np.ndarray, deviation: float) -> np.ndarray:
    """ln of an even mixture of round Gaussians."""
    parts = []
    for start in range(0, len(x), _CHUNK):
        offset = x[start:start + _CHUNK, None, :].astype(float) - centres
        squared = (offset**2).sum(-1) / deviation**2
        parts.append(logsumexp(-0.5 * squared, axis=1))
    norm = np.log(len(centres)) + np.log(2 * np.pi * deviation**2)
    return np.concatenate(parts) - norm
