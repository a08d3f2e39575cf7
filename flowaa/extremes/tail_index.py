"""Estimators of the tail index from the k largest values, without a likelihood.

All estimate ξ of the generalised laws: a tail like x^(−1/ξ) where ξ > 0.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes import checks


class TailIndex(NamedTuple):
    """An estimate of ξ and its asymptotic standard error."""

    shape: float
    standard_error: float


def hill(x: ArrayLike, k: int) -> TailIndex:
    """Hill's estimator (1975): mean log excess over the (k + 1)-th largest value; for ξ > 0.

    Args:
        x: [N] values, the k + 1 largest of them positive.
        k: how many of the largest values are used.

    Raises:
        UserError: if there are too few values, or they are not positive.

    >>> hill(np.arange(1.0, 101.0) ** -0.5, 99).shape.__round__(2)
    0.49
    """
    excess = _log_excess(x, k)
    shape = float(np.mean(excess))
    return TailIndex(shape, shape / math.sqrt(k))


def moment(x: ArrayLike, k: int) -> TailIndex:
    """The moment estimator (Dekkers, Einmahl and de Haan 1989), for any ξ; arguments as `hill`."""
    excess = _log_excess(x, k)
    first, second = float(np.mean(excess)), float(np.mean(excess**2))
    if second - first**2 < 1e-12 * second:
        raise UserError(f"the {k} largest values are equal; the moment estimator needs different "
                        "ones: raise k, or give finer data")
    shape = first + 1 - 0.5 / (1 - first**2 / second)
    if shape >= 0:
        variance = 1 + shape**2
    else:
        variance = ((1 - shape) ** 2 * (1 - 2 * shape) * (
            4 - 8 * (1 - 2 * shape) / (1 - 3 * shape)
            + (5 - 11 * shape) * (1 - 2 * shape) / ((1 - 3 * shape) * (1 - 4 * shape))))
    return TailIndex(shape, math.sqrt(variance / k))


def pickands(x: ArrayLike, k: int) -> TailIndex:
    """Pickands's estimator (1975), for any ξ, from the k-th, 2k-th and 4k-th largest values.

    Args:
        x: [N] values of any sign, N ≥ 4k.
        k: a quarter of the largest values that are used.

    Raises:
        UserError: if there are too few values, or ties among the three.
    """
    largest = _largest(x, 4 * checks.require_count(k, "k"))
    first, second, fourth = largest[k - 1], largest[2 * k - 1], largest[4 * k - 1]
    if not first > second > fourth:
        raise UserError(f"Pickands's estimator needs three different values at the places {k}, "
                        f"{2 * k} and {4 * k} from the top; the data has ties there: change k")
    shape = math.log((first - second) / (second - fourth)) / math.log(2)
    ratio = math.log(2) if shape == 0 else (2**shape - 1) / shape
    variance = (2 ** (2 * shape + 1) + 1) / (2 * ratio * math.log(2)) ** 2
    return TailIndex(shape, math.sqrt(variance / k))


def _log_excess(x: ArrayLike, k: int) -> np.ndarray:
    k = checks.require_count(k, "k", least=2)
    largest = _largest(x, k + 1)
    if not largest[-1] > 0:
        raise UserError(f"the {k + 1} largest values must be positive; the smallest of them is "
                        f"{largest[-1]:g}: choose a smaller k, or add a constant to the data")
    excess = np.log(largest[:-1] / largest[-1])
    if not excess[0] > 0:
        raise UserError(f"the {k + 1} largest values are equal; a tail index needs different ones")
    return excess


def _largest(x: ArrayLike, count: int) -> np.ndarray:
    """The `count` largest values, falling."""
    values = checks.require_values(x, "x", least=count)
    return np.sort(values)[::-1][:count]
