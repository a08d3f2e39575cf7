"""Scores of any unit as evidence: minus the log of the chance that an inlier scores as high."""

import dataclasses

import numpy as np

_TAIL = 0.2  # share of the inliers that the exponential tail is fitted to
_LEAST = 5
_ROUNDING = 1e-9  # of scores near one: what differs by less is equal


@dataclasses.dataclass(frozen=True)
class TailProbability:
    """Shares of inliers' scores below a threshold, and an exponential law of their excess above."""

    values: np.ndarray  # [n] inliers' scores, increasing
    threshold: float
    log_share: float  # −log of the share of inliers above the threshold
    mean_excess: float

    def minus_log(self, scores: np.ndarray) -> np.ndarray:
        """−log p [m] of scores [m]; it grows linearly beyond the largest inlier's."""
        n = len(self.values)
        n_above = n - np.searchsorted(self.values, scores)
        body = -np.log((n_above + 1) / (n + 1))
        excess = np.maximum(scores - self.threshold, 0) / self.mean_excess
        return np.where(scores > self.threshold, self.log_share + excess, body)


def fit_tail_probability(scores: np.ndarray) -> TailProbability:
    """Fits to scores [n] of inliers by fits that had not seen them."""
    values = np.sort(np.asarray(scores, float))
    n = len(values)
    n_above = min(max(_LEAST, int(_TAIL * n)), max(n // 2, 1))
    threshold = values[-n_above - 1] if n > n_above else values[0]
    mean_excess = float((values[-n_above:] - threshold).mean())
    spread, largest = float(values[-1] - values[0]), float(np.abs(values[[0, -1]]).max())
    if spread <= _ROUNDING * max(largest, 1.0):  # all are one value, and a unit is needed
        spread = max(largest, 1.0)
    return TailProbability(values, float(threshold), float(-np.log((n_above + 1) / (n + 1))),
                           max(mean_excess, 1e-3 * spread / np.sqrt(n)))
