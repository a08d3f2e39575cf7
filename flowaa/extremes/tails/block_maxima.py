"""Block maxima: the generalised extreme value law fitted to them (Coles 2001, chapter 3)."""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes import checks
from flowaa.extremes.generalised import GeneralisedExtremeValue
from flowaa.extremes.tails.fitted_tail import (
    PLOTTED_LEVELS,
    FittedTail,
    Interval,
    checked_values,
    plot_levels,
    standard_errors,
)
from flowaa.extremes.tails.tail_fits import EXTREME_VALUE, fit_law, reduced


def block_maxima(values: ArrayLike, block_size: int) -> np.ndarray:
    """The largest value of each block of neighbours.

    Args:
        values: [N] observations.
        block_size: observations a block; an incomplete last block is left out.

    Returns:
        [N // block_size] maxima in float64.

    Raises:
        UserError: if there is no complete block, or values are not finite.
    """
    block_size = checks.require_count(block_size, "block_size")
    row = checks.require_values(values, "values", least=1)
    n_blocks = len(row) // block_size
    if n_blocks == 0:
        raise UserError(f"block_size is {block_size}, but there are only {len(row)} values; "
                        "choose smaller blocks")
    return row[:n_blocks * block_size].reshape(n_blocks, block_size).max(axis=1)


class BlockMaxima(FittedTail):
    """Return levels of the largest values of blocks, by the generalised extreme value law.

    After `fit`: `location_`, `scale_`, `shape_` (ξ), `standard_errors_` [3], `law_` (a distrax law
    of one maximum), `n_blocks_` and `fit_`. Periods are in blocks.

    >>> x = np.random.default_rng(0).exponential(size=(200, 50))
    >>> law = BlockMaxima(block_size=50).fit(x.ravel())
    >>> law.n_blocks_, round(law.location_)  # ln 50 = 3.9
    (200, 4)
    """

    def __init__(self, *, block_size: int = 1, method: str = "ml", shape: float | None = None):
        """Sets what `fit` does.

        Args:
            block_size: rows a block; 1 where the data are maxima already.
            method: "ml", "pwm" or "lmoments", see `tail_fits`.
            shape: ξ where it is known; 0 fits Gumbel's law; "ml" only.
        """
        self.block_size, self.method, self.shape = block_size, method, shape

    def __repr__(self) -> str:
        if not hasattr(self, "fit_"):
            return f"{type(self).__name__}(block_size={self.block_size}, method={self.method!r})"
        return (f"{type(self).__name__}(location={self.location_:.4g}, shape={self.shape_:.3g}, "
                f"scale={self.scale_:.4g}, n_blocks={self.n_blocks_})")

    def fit(self, x: ArrayLike) -> Self:
        """Fits the maxima of blocks of x [N]; an incomplete last block is left out.

        Raises:
            UserError: if x is not one row of finite numbers, or has too few different maxima.
        """
        maxima = checked_values(block_maxima(x, self.block_size), "block maxima",
                                "choose smaller blocks or give more rows")
        self.fit_ = fit_law(EXTREME_VALUE, maxima, method=self.method, shape=self.shape)
        self.location_, self.scale_, self.shape_ = (float(v) for v in self.fit_.parameters)
        self.standard_errors_ = standard_errors(self.fit_)
        self.law_ = self._law(GeneralisedExtremeValue, self.location_)
        self.n_blocks_ = len(maxima)
        return self

    def return_level(self, n: float) -> float:
        """The value that one block's maximum in n exceeds; n above 1."""
        checks.require_inside(n, "n, the return period,", 1, np.inf, shapes=((),))
        return self.fit_.level(-math.log(n))

    def return_period(self, x: ArrayLike) -> np.ndarray:
        """Blocks it takes, on average, until a maximum exceeds x [...]."""
        z = (checks.require_numbers(x, "x") - self.location_) / self.scale_
        with np.errstate(over="ignore", divide="ignore"):
            return -1 / np.expm1(-np.exp(-reduced(np.asarray(z), self.shape_)))

    def interval(
        self, name: str = "return_level", *, n: float | None = None, confidence: float = 0.95,
        kind: str = "profile",
    ) -> Interval:
        """An interval as `PeaksOverThreshold.interval`, also of "location"; n in blocks."""
        if name != "return_level":
            return self._interval(name, n, None, confidence, kind)
        checks.require_inside(n, "n, the return period,", 1, np.inf, shapes=((),))
        assert n is not None
        return self._interval(name, n, -math.log(n), confidence, kind)

    def plot(self, axes: Any) -> None:
        """As `PeaksOverThreshold.plot`, with periods in blocks."""
        n = np.geomspace(1.05, 20 * self.n_blocks_, PLOTTED_LEVELS)
        plot_levels(axes, self, n, np.sort(self.fit_.x), self.n_blocks_, unit="blocks")
