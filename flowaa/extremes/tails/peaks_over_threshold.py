"""Peaks over a threshold: the generalised Pareto law fitted to what exceeds it."""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from flowaa.errors import warn
from flowaa.extremes import checks
from flowaa.extremes.generalised import GeneralisedPareto
from flowaa.extremes.tails.fitted_tail import (
    PLOTTED_LEVELS,
    FittedTail,
    Interval,
    checked_values,
    plot_levels,
    standard_errors,
)
from flowaa.extremes.tails.tail_fits import LEAST_ROWS, PARETO, fit_law, reduced
from flowaa.extremes.tails.thresholds import choose_threshold, cluster_maxima

_AT_BOUND = -0.99  # a shape; at -1 the likelihood has no bound
_FEW = 30  # values, of which such a shape is chance
_SURPRISING = 1e3  # times the number of rows: the period of the largest, by chance in one of 1 000


class PeaksOverThreshold(FittedTail):
    """Return levels and periods of data, by its tail above a threshold (Davison and Smith 1990).

    After `fit`: `threshold_`, `shape_` (ξ), `scale_`, `standard_errors_` (scale, shape), `rate_`
    (exceedances, or clusters of them, a row), `n_exceedances_`, `law_` (a distrax law of values
    given that they exceed) and `fit_`.

    >>> x = np.random.default_rng(0).exponential(size=2000)
    >>> tail = PeaksOverThreshold(threshold=1.0).fit(x)
    >>> round(tail.rate_, 1), round(float(tail.return_period(tail.return_level(1e4))))
    (0.4, 10000)
    """

    def __init__(
        self, *, threshold: float | None = None, method: str = "ml", shape: float | None = None,
        run_length: int | None = None,
    ):
        """Sets what `fit` does.

        Args:
            threshold: in the units of the data; None chooses it (`choose_threshold`).
            method: "ml", "pwm" or "lmoments", see `tail_fits`.
            shape: ξ where it is known, e.g. 0 for an exponential tail; "ml" only.
            run_length: of dependent rows in the order of time: exceedances with fewer rows between
                them than this are one cluster, of which the largest is fitted.
        """
        self.threshold, self.method = threshold, method
        self.shape, self.run_length = shape, run_length

    def __repr__(self) -> str:
        if not hasattr(self, "fit_"):
            return f"{type(self).__name__}(threshold={self.threshold}, method={self.method!r})"
        return (f"{type(self).__name__}(threshold={self.threshold_:.4g}, shape={self.shape_:.3g}, "
                f"scale={self.scale_:.4g}, n_exceedances={self.n_exceedances_})")

    def fit(self, x: ArrayLike) -> Self:
        """Fits the tail of x [N].

        Raises:
            UserError: if x is not one row of finite numbers, or too few different values exceed.
        """
        values = checks.require_values(x, "x", least=LEAST_ROWS)
        if self.threshold is not None:
            checks.require_finite(self.threshold, "threshold", shapes=((),))
        self.threshold_ = float(choose_threshold(values) if self.threshold is None
                                else self.threshold)
        peaks = values[values > self.threshold_]
        if self.run_length is not None and len(peaks):
            peaks = cluster_maxima(values, self.threshold_, self.run_length)
        checked_values(peaks, f"values exceed the threshold {self.threshold_:g}",
                       "lower the threshold or give more rows")
        self.fit_ = fit_law(PARETO, peaks - self.threshold_, method=self.method, shape=self.shape)
        _, self.scale_, self.shape_ = (float(value) for value in self.fit_.parameters)
        self.standard_errors_ = standard_errors(self.fit_)[1:]
        self.n_exceedances_, self.rate_ = len(peaks), len(peaks) / len(values)
        if self.shape is None and self.shape_ < _AT_BOUND and len(peaks) < _FEW:
            warn(f"the shape of {len(peaks)} values above the threshold {self.threshold_:g} is at "
                 f"its bound, {self.shape_:.3g}, and says nothing of the tail: {_FEW} values or "
                 "more are needed; lower the threshold or give more rows")
        self.law_ = self._law(GeneralisedPareto, self.threshold_)
        self._values = np.sort(values)
        period = float(self.return_period(self._values[-1]))
        if period > _SURPRISING * len(values):
            reason = ("its tail ends there" if self.shape_ < 0 else
                      "an outlier, or a tail that is heavier further out than above the threshold "
                      f"{self.threshold_:g}")
            warn(f"by this fit the largest of {len(values)} values is one row in {period:.2g}: "
                 f"{reason}; look at plot()")
        return self

    def return_level(self, n: float) -> float:
        """The value that one row in n exceeds; an empirical quantile below the threshold."""
        checks.require_positive(n, "n, the return period,", least=1, most=None,
                                shapes=((),))
        if n * self.rate_ < 1:
            return float(np.quantile(self._values, 1 - 1 / n))
        return self.threshold_ + self.fit_.level(-math.log(n * self.rate_))

    def return_period(self, x: ArrayLike) -> np.ndarray:
        """Rows it takes, on average, to exceed values x [...]; infinite beyond the tail's end."""
        x = checks.require_numbers(x, "x")
        y = reduced(np.maximum(x - self.threshold_, 0) / self.scale_, self.shape_)
        n_exceeding = len(self._values) - np.searchsorted(self._values, x, side="right")
        with np.errstate(over="ignore", divide="ignore"):
            return np.where(~(x < self.threshold_), np.exp(y) / self.rate_,
                            len(self._values) / np.maximum(n_exceeding, 1))

    def interval(
        self, name: str = "return_level", *, n: float | None = None, confidence: float = 0.95,
        kind: str = "profile",
    ) -> Interval:
        """A confidence interval.

        Args:
            name: "return_level", "shape" or "scale".
            n: return period in rows, for the level; above the threshold, n · rate > 1.
            confidence: between 0 and 1.
            kind: "profile", "delta" (symmetric) or "bootstrap", which takes the rate of
                exceedances for known; the other two do not.

        Raises:
            UserError: if an argument is out of range, or the likelihood has no profile (a shape
                of −1, e.g. of uniform data).
        """
        if name != "return_level":
            return self._interval(name, n, None, confidence, kind)
        checks.require_positive(n, "n, the return period,", least=1 / self.rate_ * (1 + 1e-9),
                                most=None, shapes=((),))
        assert n is not None
        # d level/d rate = scale · (n rate)^ξ / rate, and the rate is a share of len(x) rows.
        rate_variance = self.rate_ * (1 - self.rate_) / len(self._values)
        with np.errstate(over="ignore", invalid="ignore"):
            slope = self.scale_ * np.float64(n * self.rate_) ** self.shape_ / self.rate_
            of_rate = float(slope**2 * rate_variance)
        found = self._interval(name, n, -math.log(n * self.rate_), confidence, kind, of_rate)
        return Interval(*(end + self.threshold_ for end in found))

    def plot(self, axes: Any) -> None:
        """Draws levels against return periods, with the 95 % intervals of `interval` and the data.

        Args:
            axes: matplotlib axes; `flowaa.figures.tails.draw_return_levels` makes them.
        """
        n = np.geomspace(1.01 / self.rate_, 100 * len(self._values), PLOTTED_LEVELS)
        plot_levels(axes, self, n, self._values[-self.n_exceedances_:], len(self._values),
                    unit="rows")
