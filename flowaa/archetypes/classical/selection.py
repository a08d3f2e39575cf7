"""How many archetypes: the elbow of the explained variance, and stability under resampling."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from flowaa.archetypes.classical.model import Settings, fit_model

_BOOTSTRAP_TOL = 1e-4


@dataclasses.dataclass(frozen=True)
class Selection:
    """Fits with different numbers of archetypes."""

    n_archetypes: np.ndarray  # [M] the numbers tried, increasing
    explained_variance: np.ndarray  # [M] share of the variance about the mean
    shift: np.ndarray  # [M, R] see `choose_n_archetypes`
    elbow: int  # the number suggested


def choose_n_archetypes(
    x: np.ndarray, candidates: Sequence[int] = range(1, 11), *, settings: Settings | None = None,
    n_bootstraps: int = 10, seed: int = 0,
) -> Selection:
    """Fits each number of archetypes to the rows, and again to bootstrap samples of them.

    The elbow is the number whose explained variance lies furthest above the straight line between
    the first number and the last (Satopää et al. 2011, Kneedle). An elbow that moves under
    resampling is none: `shift` says how far archetypes of a bootstrap sample lie from those of
    all rows, as the root mean square over the best pairing of the two, in units of the rows' root
    mean square distance from their mean. It jumps where there are more archetypes than corners.

    Args:
        x: [n, D] finite rows.
        candidates: the numbers to try, each at least 1 and at most n.
        settings: how archetypes are found; its number is not used.
        n_bootstraps: R, samples of n rows with replacement; 0 for none.
        seed: governs starts and samples.

    Raises:
        ValueError: the rows are no finite table, or there is no candidate or an impossible one.
    """
    x = np.ascontiguousarray(x, None if np.asarray(x).dtype == np.float32 else np.float64)
    numbers = np.unique(np.asarray(candidates, int))
    if x.ndim != 2 or not x.size or not np.isfinite(x).all():
        raise ValueError(f"x has shape {x.shape}: give finite rows, [n ≥ 1, D ≥ 1]")
    if not len(numbers) or numbers[0] < 1 or numbers[-1] > len(x):
        raise ValueError(f"candidates={list(candidates)}: give numbers from 1 to the {len(x)} rows")
    rng = np.random.default_rng(seed)
    samples = [rng.multinomial(len(x), np.full(len(x), 1 / len(x))) for _ in range(n_bootstraps)]
    explained, shift = [], np.empty((len(numbers), n_bootstraps))
    for i, number in enumerate(numbers):
        of_number = dataclasses.replace(settings or Settings(1), n_archetypes=int(number))
        # Where an archetype lies to a hundredth is enough to see it move.
        roughly = dataclasses.replace(of_number, tol=max(of_number.tol, _BOOTSTRAP_TOL))
        model = fit_model(x, of_number, rng=rng)
        explained.append(1.0 - model.rss / model.total if model.total > 0 else 1.0)
        spread = np.sqrt(model.total / len(x)) or 1.0
        for j, counts in enumerate(samples):
            # Weights rather than copies: the shapes stay, and nothing is compiled anew.
            resampled = fit_model(x, roughly, weight=counts, rng=rng)
            shift[i, j] = _shift(model.archetypes, resampled.archetypes) / spread
    return Selection(numbers, np.array(explained), shift, int(numbers[_elbow(numbers, explained)]))


def _shift(archetypes: np.ndarray, others: np.ndarray) -> float:
    """Root mean square distance of two sets [K, D], paired so that it is smallest."""
    squared = ((archetypes[:, None] - others) ** 2).sum(-1)
    return float(np.sqrt(squared[linear_sum_assignment(squared)].mean()))


def _elbow(numbers: np.ndarray, explained: Sequence[float]) -> int:
    """Index of the point furthest above the line between the ends."""
    if len(numbers) < 3:
        return len(numbers) - 1
    return int((np.array(explained) - np.interp(numbers, numbers[[0, -1]],
                                                [explained[0], explained[-1]])).argmax())
