"""Fits of the generalised laws in float64, and intervals for what follows from them.

A fit has the parameters (location, scale, shape) of `generalised`. Maximum likelihood is searched
by Nelder and Mead's simplex from the L-moment estimate; `pwm` takes probability-weighted moments
with plotting positions (j − 0.35)/n (Hosking, Wallis and Wood 1985; Hosking and Wallis 1987), and
`lmoments` their unbiased estimates (Hosking 1990). Intervals are by the delta method, by profile
likelihood (Coles 2001, 2.6.6), or percentiles of a parametric bootstrap.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from flowaa.errors import UserError, warn
from flowaa.extremes import checks

METHODS = ("ml", "pwm", "lmoments")
INTERVALS = ("profile", "delta", "bootstrap")
LEAST_ROWS = 10  # different values that a fit needs; three parameters are not known from fewer
_LARGEST = 1e30  # of the values
_COLLAPSED = 1e-6  # a scale in units of the values' spread: a spike at ties
_EULER = -special.digamma(1.0)


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


class Law(NamedTuple):
    """What a fit needs of a law; its parameters are (location, scale, shape)."""

    n_fixed: int  # 1: the location is known, and 0
    log_prob_of_reduced: Callable[[np.ndarray], np.ndarray]  # ln density − (1 + ξ) y-term, of y
    reduced_of_log_survival: Callable[[np.ndarray], np.ndarray]  # y at ln P(X > x)
    from_moments: Callable[[np.ndarray], np.ndarray]  # parameters of L-moments (l1, l2, l3)


@dataclasses.dataclass(frozen=True)
class TailFit:
    """A law fitted to values x [n]."""

    law: Law
    x: np.ndarray  # [n]
    parameters: np.ndarray  # [3] location, scale, shape
    method: str
    shape: float | None = None  # where it was given and not estimated

    def level(self, log_survival: float) -> float:
        """The value that is exceeded with probability exp(log_survival)."""
        return float(_level(self.law, self.parameters, log_survival))

    def negative_log_likelihood(self, parameters: np.ndarray) -> float:
        """Of all values, in nats; infinite outside the support."""
        return _negative_log_likelihood(self.law, self.x, parameters)

    def covariance(self) -> np.ndarray:
        """Asymptotic covariance [3, 3] of the parameters; zero where they are known.

        For maximum likelihood the inverse observed information, else of 200 bootstrap fits.
        """
        free = self.free
        covariance = np.zeros((3, 3))
        if self.method == "ml":
            steps = 1e-4 * np.array([self.parameters[1], self.parameters[1], 1.0])
            with np.errstate(invalid="ignore"):
                information = _hessian(self.negative_log_likelihood, self.parameters, steps, free)
            inverse = np.linalg.pinv(information) if np.isfinite(information).all() else np.nan
        else:
            inverse = np.cov(self.bootstrap(200, 0)[:, free], rowvar=False)
        covariance[np.ix_(free, free)] = inverse
        return covariance

    @property
    def standard_errors(self) -> np.ndarray:
        """Of the parameters [3]; NaN where the likelihood has no curvature to tell."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diag(self.covariance()))

    def bootstrap(self, n_draws: int, seed: int) -> np.ndarray:
        """Parameters [n_draws, 3] of fits to as many values drawn from the fitted law."""
        random = np.random.default_rng(seed)
        drawn = []
        for _ in range(n_draws):
            log_survival = np.log(random.uniform(size=len(self.x)))
            sample = _level(self.law, self.parameters, log_survival)
            drawn.append(fit_law(self.law, sample, method=self.method, shape=self.shape).parameters)
        return np.array(drawn)

    def interval(
        self, quantity: "Quantity", *, confidence: float, kind: str, extra_variance: float = 0.0,
    ) -> Interval:
        """A confidence interval of a function of the parameters.

        Args:
            quantity: the function.
            confidence: between 0 and 1.
            kind: one of `INTERVALS`; "profile" needs a fit by maximum likelihood.
            extra_variance: added to the delta method's.

        Raises:
            UserError: if confidence or kind is wrong.
        """
        checks.require_inside(confidence, "confidence", 0, 1, shapes=((),))
        if kind not in INTERVALS or (kind == "profile" and self.method != "ml"):
            raise UserError(f"interval {kind!r} of a fit by {self.method!r}: choose one of "
                            f"{', '.join(INTERVALS)}; profile needs method='ml'")
        value = quantity.value
        estimate = value(self.parameters)
        if kind == "bootstrap":
            draws = [value(parameters) for parameters in self.bootstrap(200, 0)]
            low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
            return Interval(estimate, float(low), float(high))
        gradient = np.zeros(3)
        for i, step in enumerate(1e-5 * np.array([self.parameters[1], self.parameters[1], 1.0])):
            shift = step * np.eye(3)[i]
            gradient[i] = (value(self.parameters + shift) - value(self.parameters - shift)) / (
                2 * step)
        deviation = float(np.sqrt(gradient @ self.covariance() @ gradient + extra_variance))
        reach = stats.norm.isf((1 - confidence) / 2) * deviation
        if kind == "delta":
            return Interval(estimate, estimate - reach, estimate + reach)
        least = self.negative_log_likelihood(self.parameters)
        allowed = least + 0.5 * stats.chi2.ppf(confidence, 1)
        return Interval(estimate, *(self._profile_end(
            quantity, estimate, side * reach, allowed) for side in (-1, 1)))

    def _profile_end(
        self, quantity: "Quantity", estimate: float, reach: float, allowed: float,
    ) -> float:
        """Where the largest likelihood at a fixed value falls to what is allowed."""
        others = self.free[self.free != quantity.eliminated]

        def excess(at: float) -> float:
            fitted = _maximise(self.law, self.x, self.parameters, others,
                               lambda p: quantity.solve(at, p))
            return min(self.negative_log_likelihood(fitted) - allowed, 1e6)

        inner, outer = 0.0, 0.7 * reach
        for _ in range(30):
            if excess(estimate + outer) > 0:
                ends = sorted((estimate + inner, estimate + outer))
                return float(optimize.brentq(excess, *ends, xtol=1e-4 * abs(reach)))
            inner, outer = outer, 1.5 * outer
        return float(np.copysign(np.inf, reach))

    @property
    def free(self) -> np.ndarray:
        """Indices of the parameters that were estimated."""
        free = np.arange(self.law.n_fixed, 3)
        return free[:-1] if self.shape is not None else free


def fit_law(law: Law, x: np.ndarray, *, method: str, shape: float | None = None) -> TailFit:
    """Fits a law to values x [n], at least `LEAST_ROWS` different ones.

    Args:
        law: the law.
        x: [n] values; excesses over the threshold where the location is known.
        method: one of `METHODS`.
        shape: ξ where it is known, 0 for exponential tails; None estimates it.

    Raises:
        UserError: if the method is unknown, or wants no known shape.
    """
    if method not in METHODS:
        raise UserError(f"method is {method!r}; choose one of {', '.join(METHODS)}")
    if shape is not None:
        checks.require_inside(shape, "shape", -1, np.inf, shapes=((),))
        if method != "ml":
            raise UserError("a known shape is fitted by method='ml' alone")
    unit = float(np.abs(x).max())  # squares of 1e200 overflow
    centre = 0.0 if law.n_fixed else float(np.mean(x / unit)) * unit
    spread = float(np.mean(x / unit) if law.n_fixed else np.std(x / unit)) * unit
    z = np.sort((x - centre) / spread)
    j = np.arange(1, len(z) + 1)
    if method == "pwm":
        p = (j - 0.35) / len(z)
        weights = np.stack([np.ones(len(z)), p, p**2])
    else:
        weights = np.stack([np.ones(len(z)), (j - 1) / (len(z) - 1),
                            (j - 1) * (j - 2) / ((len(z) - 1) * (len(z) - 2))])
    b0, b1, b2 = weights @ z / len(z)
    parameters = law.from_moments(np.array([b0, 2 * b1 - b0, 6 * b2 - 6 * b1 + b0]))
    if method == "ml":
        starts = [parameters, np.array([0.0 if law.n_fixed else -0.45, 0.8, 0.05])]
        known = {} if shape is None else {2: shape}
        free = np.arange(law.n_fixed, 2 if known else 3)
        tried = [_maximise(law, z, _with(start, known), free) for start in starts]
        parameters = min(tried, key=lambda p: _negative_log_likelihood(law, z, p))
    if not np.isfinite(parameters).all() or parameters[1] < _COLLAPSED:
        raise UserError(f"the fit to {len(x)} values collapses onto a few of them, whose spread is "
                        f"{spread:.3g}; leave out the values that are repeated or far beyond the "
                        "others, or give finer data")
    return TailFit(law, x, np.array([centre, 0, 0]) + parameters * [spread, spread, 1.0], method,
                   shape)


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
        return Quantity(lambda p: float(p[index]), lambda at, p: _with(p, {index: at}), index)

    def unit_level(p: np.ndarray) -> float:
        return float(_level(fit.law, np.array([0.0, 1.0, p[2]]), log_survival))

    def solve(at: float, p: np.ndarray) -> np.ndarray:
        if fit.law.n_fixed:
            return _with(p, {1: (at - p[0]) / unit_level(p)})
        return _with(p, {0: at - p[1] * unit_level(p)})

    return Quantity(lambda p: float(_level(fit.law, p, log_survival)), solve, fit.law.n_fixed)


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
        return self.fit_.interval(quantity(self.fit_, name, log_survival), confidence=confidence,
                                  kind=kind, extra_variance=extra_variance)


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


def reduced(z: np.ndarray, shape: float) -> np.ndarray:
    """y = ln(1 + ξz)/ξ; infinite beyond the end of the support."""
    if abs(shape) < 1e-10:
        return z
    with np.errstate(divide="ignore"):
        return np.log1p(np.maximum(shape * z, -1)) / shape


def plot_levels(
    axes: Any, n: np.ndarray, intervals: np.ndarray, largest: np.ndarray, n_rows: int
) -> None:
    """Draws intervals [M, 3] of levels at periods n [M], and sorted values at their own periods."""
    axes.fill_between(n, intervals[:, 1], intervals[:, 2], alpha=0.25, linewidth=0, label="95 %")
    axes.plot(n, intervals[:, 0], label="fitted")
    ranks = np.arange(len(largest), 0, -1)
    axes.plot((n_rows + 1) / ranks, largest, "k.", markersize=4, label="data")
    axes.set_xscale("log")
    axes.set_xlabel("return period")
    axes.set_ylabel("return level")
    axes.legend(frameon=False)


def _maximise(
    law: Law, x: np.ndarray, start: np.ndarray, free: np.ndarray,
    complete: Callable[[np.ndarray], np.ndarray] = lambda parameters: parameters,
) -> np.ndarray:
    """Parameters of largest likelihood; only `free` ones move, and `complete` has the last word."""
    def unpack(v: np.ndarray) -> np.ndarray:
        parameters = start.copy()
        parameters[free] = v
        if 1 in free:
            parameters[1] = np.exp(v[list(free).index(1)])
        return complete(parameters)

    def objective(v: np.ndarray) -> float:
        parameters = unpack(v)
        value = _negative_log_likelihood(law, x, parameters)
        if np.isfinite(value):
            return value
        # Outside the support, a slope towards it: a start at a fixed value may lie there.
        location, scale, shape = parameters
        return 1e10 * (1 - np.min(shape * (x - location) / scale)) if scale > 0 else 1e100

    if not len(free):
        return complete(start)
    v = start[free].astype(float)
    if 1 in free:
        v[list(free).index(1)] = np.log(start[1])
    for _ in range(3):  # a simplex may collapse; from its end a new one goes on
        before = objective(v)
        v = optimize.minimize(objective, v, method="Nelder-Mead",
                              options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 2000}).x
        if before - objective(v) < 1e-7:
            break
    return unpack(v)


def _with(parameters: np.ndarray, known: dict[int, float]) -> np.ndarray:
    parameters = parameters.copy()
    for index, value in known.items():
        parameters[index] = value
    return parameters


def _negative_log_likelihood(law: Law, x: np.ndarray, parameters: np.ndarray) -> float:
    location, scale, shape = parameters
    if not scale > 0 or shape <= -1:  # at ξ ≤ −1 the likelihood has no bound
        return np.inf
    z = (x - location) / scale
    if not np.all(shape * z > -1):
        return np.inf
    y = reduced(z, shape)
    return float(len(x) * np.log(scale) + (1 + shape) * y.sum()
                 - law.log_prob_of_reduced(y).sum())


def _level(law: Law, parameters: np.ndarray, log_survival: ArrayLike | None) -> np.ndarray:
    location, scale, shape = parameters
    y = law.reduced_of_log_survival(np.asarray(log_survival, float))
    return location + scale * (y if abs(shape) < 1e-10 else np.expm1(shape * y) / shape)


def _hessian(
    f: Callable[[np.ndarray], float], at: np.ndarray, steps: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Second derivatives [len(free), len(free)] by central differences."""
    moves = [steps[i] * np.eye(3)[i] for i in free]
    return np.array([[
        (f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)) / (4 * a.sum() * b.sum())
        for b in moves] for a in moves])


def _pareto_from_moments(l_moments: np.ndarray) -> np.ndarray:
    shape = 2 - l_moments[0] / l_moments[1]
    return np.array([0.0, l_moments[0] * (1 - shape), shape])


def _extreme_value_from_moments(l_moments: np.ndarray) -> np.ndarray:
    """Hosking, Wallis and Wood 1985, with k = −ξ from the L-skewness."""
    first, second, third = l_moments
    skewness = np.clip(third / second, -0.9, 0.95)

    def excess(k: float) -> float:
        return 2 * np.expm1(-k * np.log(3)) / np.expm1(-k * np.log(2)) - 3 - skewness

    k = optimize.brentq(excess, -0.99, 20) if abs(excess(1e-9)) > 1e-9 else 1e-9
    k = 1e-9 if abs(k) < 1e-9 else k
    gamma = special.gamma(1 + k)
    scale = second * k / (-np.expm1(-k * np.log(2)) * gamma)
    location = first - scale * (_EULER if abs(k) < 1e-7 else (1 - gamma) / k)
    return np.array([location, scale, -k])


PARETO = Law(1, lambda y: np.zeros_like(y), lambda log_survival: -log_survival,
             _pareto_from_moments)
EXTREME_VALUE = Law(0, lambda y: -np.exp(-y),
                    lambda log_survival: -np.log(-np.log(-np.expm1(log_survival))),
                    _extreme_value_from_moments)
