"""Archetypoids: archetypes that are rows of the table, each a case that can be looked at.

Vinué, Epifanio & Alemany (2015), Archetypoids: a new approach to define representative archetypal
data, doi:10.1016/j.csda.2015.01.018. Of the same loss as archetypes, but over sets of rows, a
combinatorial problem: archetypes give three sets to begin with, and rows are swapped until no
single swap lowers the loss.
"""

import dataclasses
from numbers import Integral

import numpy as np

from flowaa.archetypes.classical.alternation import Mixing, Round, mix
from flowaa.archetypes.classical.hull import Hull
from flowaa.archetypes.classical.model import find_weights
from flowaa.archetypes.classical.rows import Rows, prepare
from flowaa.archetypes.classical.search import Settings, search
from flowaa.archetypes.classical.table import finite_table
from flowaa.arguments import shown
from flowaa.errors import UserError

_ALL_ROWS = 512  # tables up to this size: every row is tried in place of every archetypoid
_MOST_PROMISING = 64  # rows tried in place of each, in larger tables
_AT_ONCE = 2**21  # weights of all trials that are computed side by side
_LEAST_GAIN = 1e-9  # share of the loss by which a swap must lower it
_SQUARED = Round("squared", 0.0, 1)


@dataclasses.dataclass(frozen=True)
class Archetypoids:
    """Rows that the others are mixtures of."""

    rows: np.ndarray  # [K] their numbers, by decreasing share of the data
    weights: np.ndarray  # [n, K] of the archetypoids in each row: non-negative, rows sum to one
    rss: float  # residual sum of squares
    explained_variance: float  # share of the variance about the mean


def find_archetypoids(
    x: np.ndarray, n_archetypes: int, *, settings: Settings | None = None, seed: int = 0,
) -> Archetypoids:
    """Finds rows of which the rows are mixtures, with the least residual sum of squares.

    It begins with the rows nearest to the archetypes, with those in which they weigh most, and with
    those that make up most of them. Of each set, every archetypoid in turn is replaced by the row
    that lowers the residuals most, until none does. In tables of more than 512 different rows, only
    the 64 that lower them most while the weights stay as they are take part in that.

    Args:
        x: [n, D] finite rows.
        n_archetypes: K, at most the number of different rows.
        settings: how archetypes are found first; its number is not used, `trim` keeps archetypoids
            from far-out rows, `loss` must be "squared" and `delta` zero.
        seed: governs the starts of the archetypes.

    Raises:
        UserError: the rows are no finite table, or another argument is none that can be.

    >>> import numpy as np
    >>> corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0]])
    >>> X = np.random.default_rng(0).dirichlet([0.5] * 3, 100) @ corners
    >>> X[[7, 40, 99]] = corners
    >>> sorted(find_archetypoids(X, 3).rows.tolist())
    [7, 40, 99]
    """
    x = finite_table(x)
    for name, value, least in (("n_archetypes", n_archetypes, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise UserError(f"{name} is {shown(value)}: give a whole number, {least} or larger")
    if not isinstance(settings, Settings | None):
        raise UserError(f"settings is {shown(settings)}: give Settings of a fit, or None")
    settings = dataclasses.replace(settings or Settings(1), n_archetypes=n_archetypes).checked()
    if settings.loss != "squared" or settings.delta:
        raise UserError(f"settings has loss={settings.loss!r} and delta={settings.delta}: "
                        'archetypoids have loss="squared" and delta=0')
    n_different = len(np.unique(x, axis=0))
    if n_archetypes > n_different:
        raise UserError(f"n_archetypes is {n_archetypes}, but x has {n_different} different rows: "
                        "ask for fewer archetypoids")
    rows = prepare(x, np.ones(len(x)), trim=settings.trim, resistant=False)
    hull = search(rows, settings, np.random.default_rng(seed)).fit.hull
    best, mixing = min((_swap(rows, start) for start in _starts(rows, hull)),
                       key=lambda found: float(found[1].loss[0]))
    best = best[np.argsort(-(rows.weight @ mixing.weights[0]), kind="stable")]
    loss = float(mixing.loss[0])
    chosen = best if rows.source is None else rows.source[best]
    return Archetypoids(
        rows=chosen, weights=find_weights(x, x[chosen], rows.frame)[0],
        rss=rows.frame.sum_of_squares(loss * rows.mean_weight),
        explained_variance=1.0 - loss / rows.total if rows.total > 0 else 1.0)


def _starts(rows: Rows, hull: Hull) -> list[np.ndarray]:
    """Three sets of distinct rows [K] that stand for archetypes."""
    archetypes = hull.archetypes(rows)
    weights = _mix(rows, archetypes, None).weights[0]
    n_archetypes = archetypes.shape[1]
    distances = np.concatenate([
        np.square(rows.block(part)[None] - archetypes[0][:, None]).sum(2)
        for part in rows.slices()], axis=1)
    share = np.zeros((n_archetypes, len(rows)))
    np.add.at(share, (np.arange(n_archetypes)[:, None], hull.row[0]), hull.share[0])
    return [_distinct(np.where(rows.eligible, cost, np.inf))
            for cost in (distances, -weights.T, -share)]


def _distinct(cost: np.ndarray) -> np.ndarray:
    """Rows [K] of little cost [K, n], the cheapest that is not taken for one after the other."""
    picks: list[int] = []
    for of_archetype in cost:
        open_ = of_archetype.copy()
        open_[picks] = np.inf
        picks.append(int(open_.argmin()))
    return np.array(picks)


def _swap(rows: Rows, picks: np.ndarray) -> tuple[np.ndarray, Mixing]:
    """Rows [K] that no swap of one of them improves, from others; and the weights for them."""
    picks, turn, unchanged = picks.copy(), 0, 0
    mixing = _mix(rows, rows.at(picks)[None], None)
    while unchanged < len(picks):
        others = np.setdiff1d(np.flatnonzero(rows.eligible), picks)
        candidates = _promising(rows, picks, turn, mixing, others)
        losses = _losses(rows, picks, turn, mixing, candidates)
        unchanged += 1
        if losses.size and losses.min() < (1.0 - _LEAST_GAIN) * mixing.loss[0]:
            picks[turn] = candidates[losses.argmin()]
            mixing, unchanged = _mix(rows, rows.at(picks)[None], None), 1
        turn = (turn + 1) % len(picks)
    return picks, mixing


def _promising(rows: Rows, picks: np.ndarray, turn: int, mixing: Mixing, others: np.ndarray
               ) -> np.ndarray:
    """Rows to try in place of the archetypoid number `turn`."""
    if len(rows) <= _ALL_ROWS:
        return others
    archetypoids = rows.at(picks)
    pull = mixing.gram[0, turn] @ archetypoids - mixing.cross[0, turn]
    usage = mixing.gram[0, turn, turn]
    change = np.concatenate([  # of the loss, twice over, for the weights as they are
        (step := rows.block(part) - archetypoids[turn]) @ pull + 0.5 * usage * (step**2).sum(1)
        for part in rows.slices()])[others]
    return others[np.argsort(change, kind="stable")[:_MOST_PROMISING]]


def _losses(rows: Rows, picks: np.ndarray, turn: int, mixing: Mixing, candidates: np.ndarray
            ) -> np.ndarray:
    """The losses [C] with each candidate in place of the archetypoid number `turn`."""
    sets = np.repeat(picks[None], len(candidates), axis=0)
    sets[:, turn] = candidates
    size = max(1, _AT_ONCE // (len(rows) * len(picks)))
    return np.concatenate([np.empty(0), *(
        _mix(rows, rows.at(some), mixing.weights[0]).loss
        for some in (sets[i : i + size] for i in range(0, len(sets), size)))])


def _mix(rows: Rows, archetypoids: np.ndarray, start: np.ndarray | None) -> Mixing:
    """The weights for each of R sets of archetypoids [R, K, D], begun with those [n, K] of one."""
    n_sets = len(archetypoids)
    begun = None if start is None else np.repeat(start[None], n_sets, axis=0)
    return mix(rows, archetypoids, begun, np.full(n_sets, np.inf), _SQUARED, 0.0)
