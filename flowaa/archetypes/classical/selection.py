"""How many archetypes: what they explain beyond chance and of rows left out; stability."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral

import numpy as np
from scipy.optimize import linear_sum_assignment

from flowaa.archetypes.classical.model import Model, find_weights, fit_model
from flowaa.archetypes.classical.search import Settings
from flowaa.arguments import shown, whole_array
from flowaa.errors import UserError

_EXACT = 1e-9  # a smaller share of unexplained variance is none
_ROUGH_TOL = 1e-4  # where an archetype lies to a hundredth is enough to see it move


@dataclasses.dataclass(frozen=True)
class Selection:
    """Fits with different numbers of archetypes; M numbers, R resamples."""

    n_archetypes: np.ndarray  # [M] the numbers tried, increasing
    explained_variance: np.ndarray  # [M] share of the variance about the mean
    held_out: np.ndarray  # [M, R] the same of the rows that a resample leaves out
    by_chance: np.ndarray  # [M] the same of rows whose features were shuffled independently
    shift: np.ndarray  # [M, R] between the archetypes of a resample and of all rows
    seed_shift: np.ndarray  # [M] between the archetypes of two searches of the same rows
    elbow: int  # the number suggested


def choose_n_archetypes(
    x: np.ndarray, candidates: Sequence[int] = range(1, 11), *, settings: Settings | None = None,
    n_bootstraps: int = 10, seed: int = 0,
) -> Selection:
    """Fits each number of archetypes to the rows, to bootstrap samples and to shuffled rows.

    Suggested is the number with the largest gap log(1 − EV') − log(1 − EV), where EV is the
    explained variance of the rows and EV' that of shuffled ones: each feature is permuted by
    itself, so that they have no corners in common (a permutation null, as in ParTI, Hart et al.
    2015, doi:10.1038/nmeth.3254; the gap statistic of Tibshirani et al. 2001). Unlike an elbow's, a
    number's gap does not depend on the others tried.

    A number whose archetypes move is none: `shift` is the root mean square distance between paired
    archetypes, in units of the rows' root mean square distance from their mean. Every fit searches
    anew, and `seed_shift` shows how much of the shift is the search's rather than the data's.

    Args:
        x: [n, D] finite rows.
        candidates: the numbers to try, each at least 1 and at most n.
        settings: how archetypes are found; its number is not used.
        n_bootstraps: R, samples of n rows with replacement; 0 for none.
        seed: governs starts, samples and the shuffling.

    Raises:
        UserError: the rows are no finite table, or another argument is none that can be.
    """
    x, numbers = whole_array(x, "x"), whole_array(candidates, "candidates")
    is_table = x.ndim == 2 and x.size and x.dtype.kind in "biuf"
    if not is_table or not np.isfinite(x).all():
        raise UserError(f"x has shape {x.shape} and type {x.dtype}: give finite rows of numbers, "
                        "[n ≥ 1, D ≥ 1]")
    x = np.ascontiguousarray(x, None if x.dtype == np.float32 else np.float64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not numbers.size or (
            numbers.min() < 1 or numbers.max() > len(x)):
        raise UserError(f"candidates is {shown(candidates)}: give whole numbers from 1 to the "
                        f"{len(x)} rows, e.g. [2, 3, 4]")
    if not isinstance(settings, Settings | None):
        raise UserError(f"settings is {shown(settings)}: give Settings of a fit, or None")
    for name, value in (("n_bootstraps", n_bootstraps), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
            raise UserError(f"{name} is {shown(value)}: give a whole number, 0 or larger")
    numbers = np.unique(numbers)
    rng = np.random.default_rng(seed)
    samples = [rng.multinomial(len(x), np.full(len(x), 1 / len(x))) for _ in range(n_bootstraps)]
    shuffled = rng.permuted(x, axis=0)
    spread = float(np.sqrt(((x - x.mean(0)) ** 2).sum() / len(x))) or 1.0
    explained, by_chance, seed_shift = (np.empty(len(numbers)) for _ in range(3))
    held_out, shift = (np.empty((len(numbers), n_bootstraps)) for _ in range(2))
    for i, number in enumerate(numbers):
        of_number = dataclasses.replace(settings or Settings(1), n_archetypes=int(number))
        rough = dataclasses.replace(of_number, tol=max(of_number.tol, _ROUGH_TOL))
        model = fit_model(x, of_number, rng=rng)
        explained[i] = model.explained_variance
        by_chance[i] = fit_model(shuffled, rough, rng=rng).explained_variance
        again = fit_model(x, rough, rng=rng)
        seed_shift[i] = _shift(model.archetypes, again.archetypes) / spread
        for j, counts in enumerate(samples):
            resampled = fit_model(x, rough, weight=counts, rng=rng)
            shift[i, j] = _shift(model.archetypes, resampled.archetypes) / spread
            held_out[i, j] = _explained(resampled, x[counts == 0])
    unexplained, of_shuffled = (np.maximum(1.0 - share, _EXACT) for share in (explained, by_chance))
    suggested = int(numbers[np.log(of_shuffled / unexplained).argmax()])
    return Selection(numbers, explained, held_out, by_chance, shift, seed_shift, suggested)


def _explained(model: Model, x: np.ndarray) -> float:
    """Share of the variance of rows [m, D] about the mean of a model's that it explains."""
    rows = model.frame.to_rows(np.concatenate([x, model.mean[None]]))
    total = float(((rows[:-1] - rows[-1]) ** 2).sum())
    squared = float(find_weights(x, model.archetypes, model.frame)[1].sum())
    return 1.0 - squared / total if total > 0 else 1.0


def _shift(archetypes: np.ndarray, others: np.ndarray) -> float:
    """Root mean square distance of two sets [K, D], paired so that it is smallest."""
    squared = ((archetypes[:, None] - others) ** 2).sum(-1)
    return float(np.sqrt(squared[linear_sum_assignment(squared)].mean()))
