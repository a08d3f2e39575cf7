"""The starts of `NormalizingFlow`'s flows, and the rows that they are trained and judged on."""

import numpy as np

from flowaa.estimators.fold_rows import varying
from flowaa.flow.tables.marginal_fit import fit_marginals
from flowaa.flow.tables.table_flow import WhiteScores, fit_whitening
from flowaa.flow.tables.ties import Ties

_NORMAL_ROWS = 20.0  # that the normal law counts as, to whose quantiles marginal curves are drawn
_NORMAL_SHARE = 0.25  # of the rows, that it counts as at most, where curves are drawn to it
_PREPARED_VALUES = 2**22  # numbers of a fold's training rows, ties spread anew in each copy
_MOST_COPIES_ROWS = 2**15  # rows below which a table is copied, so that shapes are few
_MOST_JUDGED_ROWS = 4096  # of a fold, between steps; at the end all count
_MOST_FITTED_ROWS = 100_000  # that marginals and whitening are fitted to, evenly spread


def untrained(
    x: np.ndarray, ties: Ties, rng: np.random.Generator, held_out: np.ndarray,
    held_out_weight: np.ndarray, *, has_powers: bool,
) -> WhiteScores:
    """Curves and whitening of rows, whose ties are spread.

    Curves that follow each column closely are right for it alone, but columns that are nearly one,
    as the two ends of an interval, are so no more after them, and few rows of normal columns do not
    tell such curves. Those are best drawn to the normal law: the rows held out, which count by
    their weight, decide.
    """
    x = x[np.linspace(0, len(x) - 1, min(len(x), _MOST_FITTED_ROWS)).astype(int)]
    n_copies = max(1, 2000 // len(x))
    spread = varying(ties.spread(np.repeat(x, n_copies, axis=0), rng))
    starts = []
    for n_normal in (_NORMAL_ROWS, max(_NORMAL_ROWS, _NORMAL_SHARE * len(x))):
        marginals = fit_marginals(spread, ties, n_knots=12, n_normal=n_normal,
                                  n_copies=n_copies, has_powers=has_powers)
        starts.append(WhiteScores(marginals, fit_whitening(marginals.to_scores(spread)[0])))
    return max(starts, key=lambda start: np.average(
        start.log_prob(held_out), weights=held_out_weight))


def prepared_rows(
    start: WhiteScores, x: np.ndarray, rows: np.ndarray, ties: Ties,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """What the chain is trained on [M, D], float32, M a power of two, and the row of each."""
    most = 2 ** int(np.log2(max(_PREPARED_VALUES / x.shape[1], 256)))
    size = min(max(_MOST_COPIES_ROWS, 2 ** int(np.ceil(np.log2(len(rows))))), most)
    if size < len(rows):
        size = 2 ** int(np.ceil(np.log2(len(rows))))
    index = np.resize(rng.permutation(rows), size)
    parts = []
    for part in np.array_split(index, max(1, size // 65_536)):
        parts.append(start.encode(ties.spread(x[part], rng))[0].astype(np.float32))
    return np.concatenate(parts), index


def judged_rows(
    folds: list[np.ndarray], starts: list[WhiteScores], x: np.ndarray,
    context: np.ndarray | None, weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Held-out rows [F, V, D] of each fold, their context, and how much each counts [F, V]."""
    size = 2 ** int(np.ceil(np.log2(max(min(_MOST_JUDGED_ROWS, len(folds[0])), 64))))
    u = np.zeros((len(folds), size, x.shape[1]), np.float32)
    counts = np.zeros((len(folds), size), np.float32)
    given = None if context is None else np.zeros((len(folds), size, context.shape[1]), np.float32)
    for index, (fold, start) in enumerate(zip(folds, starts, strict=True)):
        rows = fold[:size]
        u[index, :len(rows)] = start.encode(x[rows])[0]
        counts[index, :len(rows)] = weight[rows]
        if given is not None and context is not None:
            given[index, :len(rows)] = context[rows]
    return u, given, counts
