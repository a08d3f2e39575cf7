"""What a member of the ensemble of outlier scores is, and how its training rows are scored fairly.

A score of a row by a fit that saw it says nothing about new rows. Every member therefore returns,
beside its score of new rows, the score of each training row by a fit without that row. From these
its tail probabilities, the false-alarm rates and the thresholds are made.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]  # rows [m, D] to scores [m], larger = more outlying


@dataclasses.dataclass(frozen=True)
class FittedMember:
    """A score, and what it says of the training rows when it has not seen them."""

    own: np.ndarray  # [n]
    score: Score


class Member(Protocol):
    """A way to score rows, fitted to inliers."""

    def fit(self, x: np.ndarray, random: np.random.Generator) -> FittedMember:
        """Fits to standardised rows x [n, D], n ≥ 2."""


def draw_folds(n: int, n_folds: int, random: np.random.Generator) -> np.ndarray:
    """The fold [n] of each row, in 0 … n_folds − 1; sizes differ by one at most."""
    return random.permutation(n) % min(n_folds, n)


def draw_rows(x: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """At most so many of the rows x [n, D], at random."""
    return x if len(x) <= most else x[random.choice(len(x), most, replace=False)]


def cross_fit(
    x: np.ndarray, fit: Callable[[np.ndarray], Score], folds: np.ndarray
) -> FittedMember:
    """Fits without each fold in turn; new rows get the mean of these fits' scores.

    Args:
        x: [n, D] rows.
        fit: makes a score of the rows it is given.
        folds: [n] the fold of each row, of which there are at least two.
    """
    own = np.empty(len(x))
    scores: list[Score] = []
    for fold in range(folds.max() + 1):
        scores.append(fit(x[folds != fold]))
        own[folds == fold] = scores[-1](x[folds == fold])
    return FittedMember(own, lambda rows: np.mean([score(rows) for score in scores], axis=0))


def left_out_fit(
    x: np.ndarray, fit: Callable[[np.ndarray], Score], folds: np.ndarray
) -> FittedMember:
    """Fits without each fold in turn for the training rows; new rows are scored by all rows."""
    return FittedMember(cross_fit(x, fit, folds).own, fit(x))
