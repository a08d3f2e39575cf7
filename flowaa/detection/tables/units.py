"""Units in which a column's squares neither overflow nor vanish, and which few rows do not set."""

import numpy as np

_FAR = 1000.0  # interquartile ranges: a larger standard deviation is that of far values alone
_HOPELESS = 1e8  # likewise: in such units the other values keep less than half of their digits
_REACH = 10.0  # interquartile ranges from the median: what lies beyond is far, and is moved there
_FEWEST_ALIKE = 8  # columns, fewer may have one range by chance
_SAME_LOW, _SAME_HIGH = 0.5, 0.25  # shares of columns with the lowest and highest level of all
_FEW = 0.01  # share of values; more of them are how the feature is, as of a saturated activation


def power_of_two(column: np.ndarray) -> float:
    """The power of two next below the largest magnitude of values [n]; dividing by it is exact."""
    largest = np.abs(column).max(initial=0.0)
    return float(np.ldexp(1.0, np.frexp(largest)[1] - 1)) if largest > 0 else 1.0


def bulk(column: np.ndarray) -> np.ndarray:
    """Values [n]; if the standard deviation is that of a few far ones, these are moved nearer."""
    unit = power_of_two(column)
    scaled = column / unit
    if not len(scaled):
        return column
    low, median, high = np.quantile(scaled, [0.25, 0.5, 0.75])
    spread, reach = high - low, _REACH * (high - low)
    n_far = np.sum(np.abs(scaled - median) > reach)
    if not 0 < _FAR * spread < scaled.std() or (
            n_far > max(1, _FEW * len(scaled)) and scaled.std() < _HOPELESS * spread):
        return column
    return np.clip(scaled, median - reach, median + reach) * unit


def shares_unit(x: np.ndarray) -> bool:
    """Whether all columns of x [n, D] are levels of one scale, as pixels or ratings are.

    They are integers, missing ones aside; of the columns that vary half have the same lowest level
    and reach half of the whole scale, and a quarter have the same highest level, which counts would
    not.
    Deviations of their own would make a pixel that is hardly ever used as large as the others.
    """
    varies = np.nanmax(x, axis=0) > np.nanmin(x, axis=0)
    if varies.sum() < _FEWEST_ALIKE or not (np.isnan(x) | (x == np.round(x))).all():
        return False
    low, high = np.nanmin(x[:, varies], axis=0), np.nanmax(x[:, varies], axis=0)
    least, most = low.min(), high.max()
    return bool(most - least > 1 and (low == least).mean() >= _SAME_LOW
                and (high - least >= 0.5 * (most - least)).mean() >= _SAME_LOW
                and (high == most).mean() >= _SAME_HIGH)


def ranges(x: np.ndarray) -> np.ndarray:
    """Ranges [D] of rows x [n, D]; few far values count as if they were at the reach."""
    low, median, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
    reach = _REACH * (high - low)
    n_far = (np.abs(x - median) > reach).sum(0)
    is_moved = (reach > 0) & (n_far <= max(1, _FEW * len(x)))
    return np.ptp(np.where(is_moved, np.clip(x, median - reach, median + reach), x), axis=0)


def deviations(x: np.ndarray) -> np.ndarray:
    """Standard deviations [D] of the bulk of rows x [n, D]; NaN is left out, 0 where all are."""
    columns = [bulk(column[~np.isnan(column)]) for column in x.T]
    units = [power_of_two(column) for column in columns]
    return np.array([unit * (column / unit).std() if len(column) else 0.0
                     for column, unit in zip(columns, units, strict=True)])
