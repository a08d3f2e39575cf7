"""The fit of a table, from its rows to a model with its certificate."""

import dataclasses

import numpy as np

from flowaa.archetypes.classical import alternation, robust
from flowaa.archetypes.classical.hull import best_rows
from flowaa.archetypes.classical.rows import BLOCK_ROWS, Frame, Rows, prepare
from flowaa.archetypes.classical.search import Found, Settings, search

_ROUNDING = 1e-10  # of the total sum of squares: as much counts as none
# Rounds that gain little may also be slow ones: a fit has converged if, besides, its duality gap is
# below this share of its loss. Fits that rounds leave alone have gaps below 0.01.
_LARGEST_GAP = 0.1


@dataclasses.dataclass(frozen=True)
class Model:
    """Fitted archetypes and how well they fit, in data units."""

    archetypes: np.ndarray  # [K, D], by decreasing share of the data
    weights: np.ndarray  # [n, K] of the archetypes in each row: A
    data_index: np.ndarray  # [K, S] the rows that make up the archetypes …
    data_weight: np.ndarray  # [K, S] … and their weights: B without its zeros
    frame: Frame
    rss: float  # weighted residual sum of squares; infinite where float64 does not reach
    explained_variance: float  # share of the weighted variance about the mean
    mean: np.ndarray  # [D] weighted
    gap: float  # the most that a better A, or a better B, could lower the loss, as a share of it
    agreement: float  # share of the starts that ended within 0.1 % of the best loss found
    n_iter: int  # rounds of the best fit
    converged: bool

    def dense_data_weights(self) -> np.ndarray:
        """B [K, n]."""
        dense = np.zeros((len(self.archetypes), len(self.weights)), self.data_weight.dtype)
        np.add.at(dense, (np.arange(len(dense))[:, None], self.data_index), self.data_weight)
        return dense


def fit_model(
    x: np.ndarray, settings: Settings, *, weight: np.ndarray | None = None,
    rng: np.random.Generator,
) -> Model:
    """Fits archetypes.

    Args:
        x: [n, D] finite, float32 or float64, which is also the precision of the result.
        settings: how.
        weight: [n] sample weights, non-negative and some positive; None for equal ones.
        rng: draws the starts.
    """
    settings.checked()
    rows = prepare(x, np.ones(len(x)) if weight is None else np.asarray(weight, np.float64),
                   trim=settings.trim, resistant=settings.loss != "squared",
                   reach=1.0 + settings.delta)
    return _certify(x, rows, search(rows, settings, rng), settings)


def find_weights(x: np.ndarray, archetypes: np.ndarray, frame: Frame
                 ) -> tuple[np.ndarray, np.ndarray]:
    """The exact weights [n, K] of archetypes [K, D] in rows [n, D].

    Returns:
        Weights, in the precision of `x`, and squared residuals [n], in units of `frame`.
    """
    weights = np.empty((len(x), len(archetypes)), x.dtype)
    squared = np.empty(len(x))
    corners = frame.to_rows(archetypes)[None]
    for i in range(0, len(x), BLOCK_ROWS):
        part = slice(i, i + BLOCK_ROWS)
        found, squared[None, part] = alternation.find_weights(frame.to_rows(x[part]), corners)
        weights[part] = found[0]
    return weights, squared


def different_archetypes(archetypes: np.ndarray) -> int:
    """How many of archetypes [K, D] differ, by more than 1e-6 of their extent."""
    extent = float(np.ptp(archetypes, axis=0).max())
    different: list[np.ndarray] = []
    for archetype in archetypes:
        if all(np.abs(archetype - other).max() > 1e-6 * extent for other in different):
            different.append(archetype)
    return len(different)


def _certify(x: np.ndarray, rows: Rows, found: Found, settings: Settings) -> Model:
    """The weights of all rows of the table, and how far, at most, they are from optimal."""
    hull = found.fit.hull.compact()
    archetypes = hull.archetypes(rows)
    asked = alternation.Round(settings.loss, 0.0, 1)
    mixing = alternation.mix(rows, archetypes, None, found.fit.cutoff, asked, 0.0)
    pull = mixing.gram @ archetypes - mixing.cross
    gap = float((pull * archetypes).sum() - best_rows(rows, pull, 1)[0].min(2).sum())
    gap += _weights_gap(rows, archetypes[0], mixing, settings.loss, found.fit.cutoff)
    loss = float(mixing.loss[0])
    gap = min(2.0 * max(gap, 0.0), loss) / (loss + _ROUNDING * rows.total or 1.0)

    share = rows.weight @ mixing.weights[0]
    order = np.argsort(-share, kind="stable")
    frame = rows.frame
    in_data_units = frame.to_data(archetypes[0, order]).astype(x.dtype)
    squared = float(rows.weight @ mixing.squared[0])
    index = hull.row[0, order]
    return Model(
        archetypes=in_data_units,
        weights=find_weights(x, frame.to_data(archetypes[0, order]), frame)[0],
        data_index=index if rows.source is None else rows.source[index],
        data_weight=hull.share[0, order].astype(x.dtype),
        frame=frame, rss=frame.sum_of_squares(squared * rows.mean_weight),
        explained_variance=1.0 - squared / rows.total if rows.total > 0 else 1.0,
        mean=rows.mean, gap=gap, agreement=found.agreement, n_iter=int(found.fit.n_rounds[0]),
        converged=bool(found.fit.stalled[0]) and gap <= _LARGEST_GAP
        and bool(np.isfinite(in_data_units).all()))


def _weights_gap(rows: Rows, archetypes: np.ndarray, mixing: alternation.Mixing, loss: str,
                 cutoff: np.ndarray) -> float:
    """The weighted sum of the rows' duality gaps."""
    gap = 0.0
    for part in rows.slices():
        weights = mixing.weights[0, part]
        gradient = (weights @ archetypes - rows.block(part)) @ archetypes.T
        slope = robust.loss_and_slope(loss, mixing.squared[:, part], cutoff)[1][0]
        gaps = (weights * gradient).sum(1) - gradient.min(1)
        gap += float((rows.weight[part] * slope) @ gaps)
    return gap
