"""Whether a tail is a power law's: Pareto's generalised law against the exponential one."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from flowaa.errors import UserError
from flowaa.extremes import checks
from flowaa.extremes.tails.tail_fits import LEAST_ROWS, PARETO, fit_law

_LARGEST = 1e150  # medians, whose square is finite


class UpperTail(NamedTuple):
    """What the largest values say of their tail."""

    shape: float  # ξ of the generalised Pareto law, of largest likelihood; 0 where it is none above
    p_value: float  # of the hypothesis ξ = 0 against ξ > 0; 1 where shape is 0
    n_exceedances: int


def fit_upper_tail(x: ArrayLike, *, share: float = 0.1) -> UpperTail:
    """Fits Pareto's generalised law to the largest values, and tests it against the exponential.

    The likelihood ratio W = 2 (ln L(ξ) − ln L(0)) is 0 in half of all exponential samples and
    chi-square's with one degree in the others, so that p = P(chi²₁ > W)/2. Where the excesses'
    deviation is at most their mean, the likelihood does not rise from ξ = 0 upwards, and the search
    is spared. A normal law has a tail lighter than the exponential; the logarithmic normal
    law, whose tail is none of a power law, passes as one for want of rows.

    Args:
        x: [N] values.
        share: of the values, the largest, whose excesses over the quantile are fitted.

    Returns:
        shape 0 and p-value 1 where fewer than 10 different values exceed.

    Raises:
        UserError: x is not one row of finite numbers, or share lies outside (0, 1).

    >>> random = np.random.default_rng(0)
    >>> fit_upper_tail(random.normal(size=5000)).p_value
    1.0
    >>> fit_upper_tail(random.pareto(2.0, size=20_000)).shape.__round__(1)
    0.5
    """
    values = checks.require_values(x, "x", least=1)
    checks.require_inside(share, "share", 0, 1, shapes=((),))
    threshold = np.quantile(values, 1 - share)
    excess = values[values > threshold] - threshold
    light = UpperTail(0.0, 1.0, len(excess))
    if len(np.unique(excess)) < LEAST_ROWS:
        return light
    # In units of the median: squares of 1e200 overflow, and of the largest the rest would be 0.
    excess = np.minimum(excess / np.median(excess), _LARGEST)
    mean = float(excess.mean())
    if excess.std() <= mean:
        return light
    try:
        fit = fit_law(PARETO, excess, method="ml")
    except UserError:  # it collapses onto values that are repeated
        return light
    shape = float(fit.parameters[2])
    exponential = len(excess) * (1 + math.log(mean))  # −ln L at ξ = 0
    ratio = 2 * (exponential - fit.negative_log_likelihood(fit.parameters))
    if shape <= 0 or ratio <= 0:
        return light
    return UpperTail(shape, float(stats.chi2.sf(ratio, 1) / 2), len(excess))
