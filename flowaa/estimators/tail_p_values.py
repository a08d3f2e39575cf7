"""p-values beyond a sample, by the generalised Pareto law of its largest values."""

import contextlib
import dataclasses

import numpy as np

from flowaa.detection.conformal import p_values
from flowaa.errors import UserError
from flowaa.extremes.tails.tail_fits import LEAST_ROWS, PARETO, fit_law

_LEAST_SAMPLE = 100  # fewer values tell no law of their tail
_TAIL = 0.1  # share of the sample that the law is fitted to
_SMALLEST = 1e-300


@dataclasses.dataclass(frozen=True)
class Tail:
    """The share of a sample above a threshold, and the law of the excess."""

    threshold: float
    share: float
    scale: float
    shape: float  # ξ ≥ 0: no score is impossible

    def refine(self, scores: np.ndarray, p: np.ndarray) -> np.ndarray:
        """p-values [m] of scores [m], by the law where they exceed the threshold, else p."""
        excess = np.maximum(scores - self.threshold, 0) / self.scale
        log_survival = (-np.log1p(self.shape * excess) / self.shape if self.shape > 1e-6
                        else -excess)
        beyond = np.maximum(self.share * np.exp(log_survival), _SMALLEST)
        return np.where(scores > self.threshold, np.minimum(beyond, 1.0), p)


def fit_tail(sample: np.ndarray) -> Tail:
    """Fits the law to the largest tenth of a sample [n], at least ten values."""
    values = np.sort(sample)
    n = len(values)
    n_above = min(max(int(_TAIL * n), 2 * LEAST_ROWS), n - 1)
    threshold = float(values[-n_above - 1])
    excess = values[-n_above:] - threshold
    scale, shape = float(excess.mean()) or 1e-9, 0.0
    if len(np.unique(excess[excess > 0])) >= LEAST_ROWS:
        # Values that are repeated have no such law: an exponential tail is left.
        with contextlib.suppress(UserError):
            _, found, found_shape = fit_law(PARETO, excess[excess > 0], method="ml").parameters
            if found_shape >= 0:
                scale, shape = found, found_shape
    return Tail(threshold, (n_above + 1) / (n + 1), float(scale), float(shape))


def calibrated(scores: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """p-values [m] of scores, larger = further out, by a sample [n] of scores not seen.

    Counted (conformal) below the largest tenth of the sample, by the law of that tenth beyond.
    Of fewer than a hundred values all are counted, and none is below 1/(n + 1).
    """
    counted = p_values(scores, sample)
    return counted if len(sample) < _LEAST_SAMPLE else fit_tail(sample).refine(scores, counted)
