"""p-values of rows from the scores of inliers that no fit had seen, and alarms made of them."""

from numbers import Real

import numpy as np

from flowaa.errors import UserError


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """(1 + number of calibration scores at least as large) / (1 + n), conformal p-values [m].

    For inliers, P(p ≤ α) ≤ α at every level α, if the calibration scores are those of rows that
    trained nothing (Vovk et al. 2005); nearly so if each is by a fit without its row (Barber et al.
    2021, the jackknife).

    Args:
        scores: [m] of new rows, larger = more outlying.
        calibration: [n] of inliers.
    """
    ordered = np.sort(calibration)
    n_as_large = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return (1 + n_as_large) / (1 + len(ordered))


def weighted_p_values(
    scores: np.ndarray, weight: np.ndarray, calibration: np.ndarray,
    calibration_weight: np.ndarray,
) -> np.ndarray:
    """(w + sum of weights of calibration scores at least as large) / (w + sum of all weights) [m].

    For new inliers whose law has a density ratio w to that of the calibration rows, P(p ≤ α) ≤ α at
    every level α, if those trained nothing (Tibshirani et al. 2019, arXiv 1904.06019). A common
    factor of all weights changes nothing, and equal weights give `p_values`.

    Args:
        scores: [m] of new rows, larger = more outlying.
        weight: [m] density ratios at these.
        calibration: [n] scores of inliers.
        calibration_weight: [n] density ratios at those.
    """
    order = np.argsort(calibration)
    up_to = np.concatenate([[0.0], np.cumsum(calibration_weight[order])])
    n_below = np.searchsorted(calibration[order], scores, side="left")
    return (weight + up_to[-1] - up_to[n_below]) / (weight + up_to[-1])


def benjamini_hochberg(p: np.ndarray, fdr: float) -> np.ndarray:
    """Which rows to call outliers, so that on average a share of at most `fdr` of them are not.

    Args:
        p: [m] p-values.
        fdr: false discovery rate, above 0 and below 1.

    Returns:
        [m] booleans (Benjamini and Hochberg 1995; for conformal p-values Bates et al. 2023).

    Raises:
        UserError: if fdr is out of range.

    >>> benjamini_hochberg(np.array([0.001, 0.5, 0.02]), 0.1).tolist()
    [True, False, True]
    """
    if isinstance(fdr, bool) or not isinstance(fdr, Real) or not 0 < float(fdr) < 1:
        raise UserError(f"fdr={fdr!r}: it must be a number above 0 and below 1")
    p = np.asarray(p, float)
    bounds = fdr * np.arange(1, len(p) + 1) / max(len(p), 1)
    passed = np.flatnonzero(np.sort(p) <= bounds)
    return p <= (np.sort(p)[passed[-1]] if len(passed) else -1.0)
