"""The search for the best of many local optima: starts, their fits, and exchanges of archetypes.

Every start is followed to convergence, so the result is never worse than any of them alone. Then,
as long as that helps, the best fit is restarted with one archetype moved to where the residual is
large; on tables with outlying groups of rows this finds fits that hundreds of random starts miss.
Tables of many rows are searched on a coreset, and only the best fit is followed on all rows.
"""

import dataclasses
from numbers import Integral, Real

import numpy as np

from flowaa.archetypes.classical import coreset, robust, starts
from flowaa.archetypes.classical import hull as hulls
from flowaa.archetypes.classical.alternation import Fits, Round, alternate, mix
from flowaa.archetypes.classical.hull import Hull
from flowaa.archetypes.classical.rows import Rows
from flowaa.errors import UserError

INITS = tuple(starts.RULES)

_SEARCHED_VALUES, _SEARCHED_ROWS = 2**18, 2**13  # the largest table that is searched as a whole
_ROUGH_TOL = 1e-4  # of fits that are only compared
_POLISH = 1e-2  # by how much `tol` is tightened for the best fit
_TRIALS_EACH = 2  # rows that each archetype is exchanged for at a time, at least
_MAX_EXCHANGES, _IN_VAIN = 12, 2  # the search ends with the second in a row that does not help
_SAME = 1e-3  # losses that differ by a smaller share are equal
_NEGLIGIBLE = 1e-12  # of the total sum of squares: the fit is exact


@dataclasses.dataclass(frozen=True)
class Settings:
    """How archetypes are found."""

    n_archetypes: int
    init: str = "coreset"  # one of INITS
    n_init: int = 10  # starts that are compared
    tol: float = 1e-6  # relative decrease of the loss in a round that ends the fit
    max_iter: int = 500  # rounds of a fit
    loss: str = "squared"  # one of robust.LOSSES
    trim: float = 0.0  # share of the rows, the furthest out, that archetypes may not use
    delta: float = 0.0  # how far beyond the hull of the rows archetypes may lie, as a share of it

    def checked(self) -> "Settings":
        """The same, or a `UserError` that names the field which is none of those."""
        for name in ("n_archetypes", "n_init", "max_iter"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise UserError(f"{name}={value!r}: it must be an integer of at least 1")
        for name, choices in (("init", INITS), ("loss", robust.LOSSES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise UserError(f"{name}={value!r}: choose one of {choices}")
        for name in ("tol", "trim", "delta"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0.0 <= float(value) < 1.0:
                raise UserError(f"{name}={value!r}: it must be a number in [0, 1)")
        return self


@dataclasses.dataclass(frozen=True)
class Found:
    """The best fit."""

    fit: Fits  # one run
    agreement: float  # share of the starts that ended within 0.1 % of the best loss found


def search(rows: Rows, settings: Settings, rng: np.random.Generator) -> Found:
    """Finds the best fit."""
    asked = Round(settings.loss, settings.tol, settings.max_iter)
    if len(rows) <= _SEARCHED_ROWS and rows.x.size <= _SEARCHED_VALUES:
        return _search_all(rows, settings, asked, rng)
    few, index = coreset.of_rows(rows, rng)
    rough = dataclasses.replace(asked, tol=max(asked.tol, _ROUGH_TOL))
    found = _search_all(few, settings, rough, rng)
    hull = Hull(index[found.fit.hull.row], found.fit.hull.share)
    return dataclasses.replace(found, fit=alternate(rows, Fits.before(hull), asked))


def _search_all(rows: Rows, settings: Settings, asked: Round, rng: np.random.Generator) -> Found:
    """Follows every start, and then exchanges archetypes of the best fit."""
    n_starts = settings.n_init
    n_trials = max(n_starts, _TRIALS_EACH * settings.n_archetypes)
    places = starts.draw_starts(rows, settings.init, settings.n_archetypes, n_starts, rng)
    fits = alternate(rows, Fits.before(hulls.at_rows(places)), asked)
    best = fits.some(np.array([fits.loss.argmin()]))
    in_vain = 0
    for _ in range(_MAX_EXCHANGES if n_starts > 1 else 0):
        if in_vain == _IN_VAIN or not best.loss[0] > _NEGLIGIBLE * rows.total:
            break
        better = _exchange(rows, best, asked, n_trials, rng)
        best, in_vain = (best, in_vain + 1) if better is None else (better, 0)
    agreement = float((fits.loss <= (1.0 + _SAME) * best.loss[0]).mean())
    if n_starts > 1:  # so that no start alone, by other roundings, ends lower within `tol`
        polished = alternate(rows, Fits.before(best.hull), dataclasses.replace(
            asked, tol=_POLISH * asked.tol))
        best = dataclasses.replace(polished, stalled=best.stalled | polished.stalled,
                                   n_rounds=best.n_rounds)
    return Found(best, agreement)


def _exchange(
    rows: Rows, best: Fits, asked: Round, n_trials: int, rng: np.random.Generator
) -> Fits | None:
    """A better fit than `best` from it with one archetype moved to a row; None if none is found.

    Archetypes take turns in `n_trials` trials, and rows are drawn by their squared residuals.
    """
    squared = mix(rows, best.hull.archetypes(rows), None, best.cutoff, asked, 0.0).squared[0]
    share = np.where(rows.eligible, rows.weight * squared, 0.0)
    if not share.sum() > 0:
        return None
    index, shares = (np.repeat(values, n_trials, axis=0) for values in best.hull)
    trial, moved = np.arange(n_trials), np.arange(n_trials) % index.shape[1]
    index[trial, moved] = rng.choice(len(rows), n_trials, p=share / share.sum())[:, None]
    shares[trial, moved] = 0.0
    shares[trial, moved, 0] = 1.0
    rough = dataclasses.replace(asked, tol=max(asked.tol, _ROUGH_TOL), rival=best.loss[0])
    trials = alternate(rows, Fits.before(Hull(index, shares)), rough)
    winner = trials.some(np.array([trials.loss.argmin()]))
    if not winner.loss[0] < (1.0 - rough.tol) * best.loss[0]:
        return None
    winner = alternate(rows, Fits.before(winner.hull), asked)
    return winner if winner.loss[0] < best.loss[0] else None
