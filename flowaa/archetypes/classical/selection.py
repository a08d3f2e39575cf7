"""How many archetypes: what they explain beyond chance and of rows left out; stability."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral

import numpy as np
from scipy.optimize import linear_sum_assignment

from flowaa.archetypes.classical.model import Model, find_weights, fit_model
from flowaa.archetypes.classical.search import Settings
from flowaa.archetypes.classical.table import finite_table
from flowaa.arguments import shown, whole_array
from flowaa.errors import UserError

_EXACT = 1e-9  # a smaller share of unexplained variance is none
_ROUGH_TOL = 1e-4  # where an archetype lies to a hundredth is enough to see it move
_SEEDS = 3  # searches of all rows
_NO_SHIFT = 1e-6  # radii: a smaller shift is one of rounding


@dataclasses.dataclass(frozen=True)
class Selection:
    """Fits with different numbers of archetypes; M numbers, R resamples.

    Chance is that of rows whose features were permuted, each by itself: they have no corners in
    common (a permutation null, as in ParTI, Hart et al. 2015, doi:10.1038/nmeth.3254).
    """

    n_archetypes: np.ndarray  # [M] the numbers tried, increasing
    explained_variance: np.ndarray  # [M] share of the variance about the mean
    by_chance: np.ndarray  # [M] the same of the permuted rows
    held_out: np.ndarray  # [M, R] the same of the rows that a resample leaves out
    held_out_by_chance: np.ndarray  # [M, R] the same of permuted rows left out
    shift: np.ndarray  # [M, R] between the archetypes of a resample and of all rows
    shift_by_chance: np.ndarray  # [M, R] the same for permuted rows
    seed_shift: np.ndarray  # [M] the largest between searches of the same rows
    elbow: int  # the number suggested by the variance explained
    by_stability: int | None  # the number whose archetypes stay; None without resamples

    @property
    def gap(self) -> np.ndarray:
        """log(1 − EV') − log(1 − EV) [M]: how much less than by chance, EV', is unexplained.

        Of rows left out, in the mean over resamples, if there are any.
        """
        return np.asarray(self._gaps().mean(1))

    def _gaps(self) -> np.ndarray:
        """[M, R or 1]."""
        if self.held_out.shape[1]:
            real, chance = self.held_out, self.held_out_by_chance
        else:
            real, chance = self.explained_variance[:, None], self.by_chance[:, None]
        left, left_by_chance = (np.maximum(1.0 - share, _EXACT) for share in (real, chance))
        return np.asarray(np.log(left_by_chance / left))


def choose_n_archetypes(
    x: np.ndarray, candidates: Sequence[int] = range(1, 11), *, settings: Settings | None = None,
    n_bootstraps: int = 10, seed: int = 0,
) -> Selection:
    """Fits each number of archetypes to the rows, to resamples, and to permuted rows.

    `elbow` is the smallest number whose `gap` is within a standard error (over resamples) of the
    largest: what the archetypes explain of rows that they were not fitted to, beyond chance (the
    gap statistic and rule of Tibshirani et al. 2001, doi:10.1111/1467-9868.00293). Unlike an
    elbow's, a number's gap does not depend on the others tried.

    `by_stability` is the number whose archetypes move least from resample to resample, beside as
    many of permuted rows (the least ratio of medians). `shift` is the root mean square distance
    between paired archetypes, in units of the rows' root mean square distance from their mean.
    Every fit searches anew, and `seed_shift` shows how much of the shift is the search's rather
    than the data's.

    Args:
        x: [n, D] finite rows.
        candidates: the numbers to try, each at least 1 and at most n.
        settings: how archetypes are found; its number is not used.
        n_bootstraps: R, samples of n rows with replacement; 0 for none.
        seed: governs starts, samples and permutations.

    Raises:
        UserError: the rows are no finite table, or another argument is none that can be.

    >>> import numpy as np
    >>> corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0]])
    >>> weights = np.random.default_rng(0).dirichlet([0.3] * 3, 80)
    >>> X = weights @ corners + 0.05 * np.random.default_rng(1).normal(size=(80, 2))
    >>> found = choose_n_archetypes(X, [2, 3, 4], n_bootstraps=2)
    >>> found.elbow, found.by_stability
    (3, 3)
    """
    x, numbers = finite_table(x), whole_array(candidates, "candidates")
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
    permuted = rng.permuted(x, axis=0)
    real, chance = [], []
    for number in map(int, numbers):
        of_number = dataclasses.replace(settings or Settings(1), n_archetypes=number)
        # A generator of the number's own: what is found does not depend on the others tried.
        real.append(_try(x, of_number, samples, _SEEDS, np.random.default_rng((seed, number, 0))))
        rough = dataclasses.replace(of_number, tol=max(of_number.tol, _ROUGH_TOL))
        chance.append(_try(permuted, rough, samples, 1, np.random.default_rng((seed, number, 1))))
    found = Selection(
        n_archetypes=numbers,
        explained_variance=np.array([trial.explained for trial in real]),
        by_chance=np.array([trial.explained for trial in chance]),
        held_out=np.array([trial.held_out for trial in real]),
        held_out_by_chance=np.array([trial.held_out for trial in chance]),
        shift=np.array([trial.shift for trial in real]),
        shift_by_chance=np.array([trial.shift for trial in chance]),
        seed_shift=np.array([trial.seed_shift for trial in real]),
        elbow=int(numbers[0]), by_stability=None)
    return dataclasses.replace(found, elbow=_least_within_an_error(found),
                               by_stability=_most_stable(found) if samples else None)


@dataclasses.dataclass(frozen=True)
class _Trial:
    """One number of archetypes, of one table."""

    explained: float
    held_out: list[float]  # R
    shift: list[float]  # R
    seed_shift: float


def _try(x: np.ndarray, settings: Settings, samples: list[np.ndarray], n_searches: int,
         rng: np.random.Generator) -> _Trial:
    """Fits a table `n_searches` times, and each of its resamples, given as counts [n], once."""
    spread = float(np.sqrt(((x - x.mean(0)) ** 2).sum() / len(x))) or 1.0
    models = [fit_model(x, settings, rng=rng) for _ in range(n_searches)]
    model = max(models, key=lambda one: one.explained_variance)
    rough = dataclasses.replace(settings, tol=max(settings.tol, _ROUGH_TOL))
    held_out, shift = [], []
    for counts in samples:
        resampled = fit_model(x, rough, weight=counts, rng=rng)
        shift.append(_shift(model.archetypes, resampled.archetypes) / spread)
        held_out.append(_explained(resampled, x[counts == 0]))
    return _Trial(model.explained_variance, held_out, shift, max(
        _shift(model.archetypes, other.archetypes) / spread for other in models))


def _least_within_an_error(found: Selection) -> int:
    """The smallest number whose gap is within a standard error of the largest."""
    gaps = found._gaps()
    best = int(gaps.mean(1).argmax())
    behind, n_samples = gaps[best] - gaps, gaps.shape[1]
    error = behind.std(1, ddof=1) / np.sqrt(n_samples) if n_samples > 1 else np.zeros(len(gaps))
    return int(found.n_archetypes[np.flatnonzero(behind.mean(1) <= error)[0]])


def _most_stable(found: Selection) -> int:
    """The number whose archetypes move least beside those of permuted rows."""
    moved, by_chance = (np.median(shift, axis=1) for shift in (found.shift, found.shift_by_chance))
    return int(found.n_archetypes[((moved + _NO_SHIFT) / (by_chance + _NO_SHIFT)).argmin()])


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
