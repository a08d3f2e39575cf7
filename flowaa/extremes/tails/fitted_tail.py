"""What is known of a fitted tail: standard errors, intervals, levels, and what it says unfitted.

Intervals are by the delta method, by profile likelihood (Coles 2001, 2.6.6), or percentiles of a
parametric bootstrap.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, stats

from flowaa.errors import UserError, warn
from flowaa.extremes import checks
from flowaa.extremes.tails.tail_fits import LEAST_ROWS, TailFit, level_of, maximise, with_values

INTERVALS = ("profile", "delta", "bootstrap")
PLOTTED_LEVELS = 20  # a profile's interval takes about 0.05 s
_LARGEST = 1e30  # of the values
_LARGEST_LEVEL = 1e120  # whose square, and that of its derivatives, float64 holds


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


class Quantity(NamedTuple):
    """A function of the parameters [3], and how to hold it at a value."""

    value: Callable[[np.ndarray], float]
    solve: Callable[[float, np.ndarray], np.ndarray]  # parameters at which it has a value, where
    eliminated: int  # only the one of this index differs from the given ones


class FittedTail:
    """What the two models of tails share."""

    fit_: TailFit

    def __getattr__(self, name: str) -> Any:
        """Says of what `fit` sets that it is not there yet."""
        before = f" before fit: call {type(self).__name__}(…).fit(x)"
        raise AttributeError(f"{type(self).__name__} has no {name}"
                             + (before if name.strip("_") + "_" == name else ""))

    def _law(self, kind: Callable[..., Any], location: float) -> Any:
        """The law as a distribution in float32, with a warning where that is too coarse."""
        _, scale, shape = (float(value) for value in self.fit_.parameters)
        if scale < 100 * float(np.spacing(np.float32(abs(location)))):
            warn(f"law_ computes in float32, which hardly tells values near {location:.6g} apart "
                 f"at a scale of {scale:.3g}: subtract a constant from the data; return levels, "
                 "periods and intervals are in float64 and not affected")
        return kind(location, scale, shape)

    def _interval(self, name: str, n: float | None, log_survival: float | None, confidence: float,
                  kind: str, extra_variance: float = 0.0) -> Interval:
        if name != "return_level" and n is not None:
            raise UserError(f"n is {checks.shown(n)}, but {name!r} has no return period; leave it "
                            "out, or ask for return_level")
        return interval(self.fit_, quantity(self.fit_, name, log_survival),
                        confidence=confidence, kind=kind, extra_variance=extra_variance)


def checked_values(x: np.ndarray, name: str, remedy: str) -> np.ndarray:
    """x [n] if it can be fitted.

    Raises:
        UserError: if there are fewer than `LEAST_ROWS` different values, or too large or small
            ones for `law_`, which computes in float32.
    """
    n_different = len(np.unique(x))
    if n_different < LEAST_ROWS:
        raise UserError(f"{len(x)} {name}, {n_different} of them different: a fit needs at least "
                        f"{LEAST_ROWS} different ones; {remedy}")
    largest = float(np.abs(x).max())
    if not 1 / _LARGEST < largest < _LARGEST:
        raise UserError(f"{name} of the size {largest:.3g} are fitted only between "
                        f"{1 / _LARGEST:g} and {_LARGEST:g}; choose another unit for the data")
    return x


def covariance(fit: TailFit) -> np.ndarray:
    """Asymptotic covariance [3, 3] of the parameters; zero where they are known.

    For maximum likelihood the inverse observed information, else of 200 bootstrap fits.
    """
    free = fit.free
    covariance = np.zeros((3, 3))
    if fit.method == "ml":
        units = np.array([fit.parameters[1], fit.parameters[1], 1.0])
        with np.errstate(invalid="ignore"):
            information = _hessian(
                fit.negative_log_likelihood, fit.parameters, 1e-4 * units, free)
        inverse = np.full_like(information, np.nan)
        if np.isfinite(information).all():
            by_units = np.outer(units[free], units[free])  # or the data's unit would decide
            inverse = np.linalg.pinv(information * by_units) * by_units
    else:
        inverse = np.cov(fit.bootstrap(200, 0)[:, free], rowvar=False)
    covariance[np.ix_(free, free)] = inverse
    return covariance


def standard_errors(fit: TailFit) -> np.ndarray:
    """Of the parameters [3]; NaN where the likelihood has no curvature to tell."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.diag(covariance(fit)))


def interval(
    fit: TailFit, quantity: Quantity, *, confidence: float, kind: str, extra_variance: float = 0.0,
) -> Interval:
    """A confidence interval of a function of the parameters.

    Args:
        fit: the fit.
        quantity: the function.
        confidence: between 0 and 1.
        kind: one of `INTERVALS`; "profile" needs a fit by maximum likelihood.
        extra_variance: of the value, from what is no parameter; of "bootstrap" left out.

    Raises:
        UserError: if confidence or kind is wrong.
    """
    checks.require_inside(confidence, "confidence", 0, 1, shapes=((),))
    if kind not in INTERVALS or (kind == "profile" and fit.method != "ml"):
        raise UserError(f"interval {kind!r} of a fit by {fit.method!r}: choose one of "
                        f"{', '.join(INTERVALS)}; profile needs method='ml'")
    value = quantity.value
    estimate = value(fit.parameters)
    if not abs(estimate) < _LARGEST_LEVEL:
        raise UserError(f"the level is {estimate:.3g}, too large for an interval: ask for that of "
                        "a shorter return period")
    if kind == "bootstrap":
        draws = [value(parameters) for parameters in fit.bootstrap(200, 0)]
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(estimate, float(low), float(high))
    gradient = np.zeros(3)
    for i, step in enumerate(1e-5 * np.array([fit.parameters[1], fit.parameters[1], 1.0])):
        shift = step * np.eye(3)[i]
        gradient[i] = (value(fit.parameters + shift) - value(fit.parameters - shift)) / (
            2 * step)
    deviation = float(np.sqrt(gradient @ covariance(fit) @ gradient + extra_variance))
    reach = stats.norm.isf((1 - confidence) / 2) * deviation
    if kind == "delta":
        return Interval(estimate, estimate - reach, estimate + reach)
    if not np.isfinite(reach):
        raise UserError(f"interval 'profile': the likelihood has no smooth maximum at the fitted "
                        f"shape {fit.parameters[2]:.3g}; use kind='bootstrap'")
    least = fit.negative_log_likelihood(fit.parameters)
    allowed = least + 0.5 * stats.chi2.ppf(confidence, 1)
    # What the profile holds for known, as the rate of exceedances, widens it in quadrature.
    extra = stats.norm.isf((1 - confidence) / 2) * np.sqrt(extra_variance)
    low, high = (_profile_end(fit, quantity, estimate, side * reach, allowed) for side in (-1, 1))
    return Interval(estimate, float(estimate - np.hypot(estimate - low, extra)),
                    float(estimate + np.hypot(high - estimate, extra)))


def _profile_end(
    fit: TailFit, quantity: Quantity, estimate: float, reach: float, allowed: float,
) -> float:
    """Where the largest likelihood at a fixed value falls to what is allowed."""
    others = fit.free[fit.free != quantity.eliminated]

    def excess(at: float) -> float:
        fitted = maximise(fit.law, fit.x, fit.parameters, others,
                           lambda p: quantity.solve(at, p))
        return min(fit.negative_log_likelihood(fitted) - allowed, 1e6)

    inner, outer = 0.0, 0.7 * reach
    for _ in range(30):
        if excess(estimate + outer) > 0:
            ends = sorted((estimate + inner, estimate + outer))
            return float(optimize.brentq(excess, *ends, xtol=1e-4 * abs(reach)))
        inner, outer = outer, 1.5 * outer
    return float(np.copysign(np.inf, reach))


def quantity(fit: TailFit, name: str, log_survival: float | None = None) -> Quantity:
    """A parameter, or the level at a survival probability.

    Args:
        fit: the fit.
        name: "location", "scale", "shape" or "return_level".
        log_survival: of the level.

    Raises:
        UserError: if there is no such quantity, or it was not estimated.
    """
    names = ("location", "scale", "shape")
    estimated = [names[i] for i in fit.free]
    if name not in (*estimated, "return_level"):
        raise UserError(f"interval of {name!r}: choose one of {', '.join(estimated)}, return_level")
    if name != "return_level":
        index = names.index(name)
        return Quantity(lambda p: float(p[index]), lambda at, p: with_values(p, {index: at}), index)

    def unit_level(p: np.ndarray) -> float:
        return float(level_of(fit.law, np.array([0.0, 1.0, p[2]]), log_survival))

    def solve(at: float, p: np.ndarray) -> np.ndarray:
        if fit.law.n_fixed:
            return with_values(p, {1: (at - p[0]) / unit_level(p)})
        return with_values(p, {0: at - p[1] * unit_level(p)})

    return Quantity(lambda p: float(level_of(fit.law, p, log_survival)), solve, fit.law.n_fixed)


def plot_levels(
    axes: Any, tail: Any, n: np.ndarray, largest: np.ndarray, n_rows: int, *, unit: str
) -> None:
    """Draws a tail's levels and intervals at periods n [M], and sorted values at their own periods.

    The intervals are those of `tail.interval`: profiles, or by the delta method where the fit is
    not by maximum likelihood; none where the likelihood has no curvature (a shape of −1). Levels of
    a heavy tail (shape above 0) have a logarithmic axis where they and the data are positive: they
    grow as a power of the period.
    """
    finer = np.geomspace(n[0], n[-1], 10 * len(n))
    fitted = np.array([tail.return_level(period) for period in finer])
    lowest = min(fitted[0], largest[0])
    if np.isfinite(tail.standard_errors_).all():
        kind = "profile" if tail.fit_.method == "ml" else "delta"
        intervals = np.array([tail.interval(n=period, kind=kind) for period in n])
        axes.fill_between(n, intervals[:, 1], intervals[:, 2], alpha=0.25, linewidth=0,
                          label=f"95 %, {kind}")
        lowest = min(lowest, intervals[:, 1].min())
    axes.plot(finer, fitted, label="fitted")
    ranks = np.arange(len(largest), 0, -1)
    axes.plot((n_rows + 1) / ranks, largest, "k.", markersize=4, label="data")
    axes.set_xscale("log")
    if tail.shape_ > 0 and lowest > 0:
        axes.set_yscale("log")
    axes.set_xlabel(f"return period, {unit}")
    axes.set_ylabel("return level")
    axes.legend(frameon=False)


def _hessian(
    f: Callable[[np.ndarray], float], at: np.ndarray, steps: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Second derivatives [len(free), len(free)] by central differences."""
    moves = [steps[i] * np.eye(3)[i] for i in free]
    return np.array([[
        (f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)) / (4 * a.sum() * b.sum())
        for b in moves] for a in moves])
