"""Fits of the generalised laws in float64; what is known of a fit is in `fitted_tail`.

A fit has the parameters (location, scale, shape) of `generalised`. Maximum likelihood is searched
by Nelder and Mead's simplex from the L-moment estimate; `pwm` takes probability-weighted moments
with plotting positions (j − 0.35)/n (Hosking, Wallis and Wood 1985; Hosking and Wallis 1987), and
`lmoments` their unbiased estimates (Hosking 1990).
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from flowaa.errors import UserError
from flowaa.extremes import checks

METHODS = ("ml", "pwm", "lmoments")
LEAST_ROWS = 10  # different values that a fit needs; three parameters are not known from fewer
_COLLAPSED = 1e-6  # a scale in units of the usual values' size: a spike at ties
_MOST_SPREAD = 1e3  # of all values over the usual ones', beyond which the largest rule the first
_EULER = -special.digamma(1.0)


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
        return float(level_of(self.law, self.parameters, log_survival))

    def negative_log_likelihood(self, parameters: np.ndarray) -> float:
        """Of all values, in nats; infinite outside the support."""
        return _negative_log_likelihood(self.law, self.x, parameters)

    def bootstrap(self, n_draws: int, seed: int) -> np.ndarray:
        """Parameters [n_draws, 3] of fits to as many values drawn from the fitted law."""
        random = np.random.default_rng(seed)
        drawn = []
        for _ in range(n_draws):
            log_survival = np.log(random.uniform(size=len(self.x)))
            sample = level_of(self.law, self.parameters, log_survival)
            drawn.append(fit_law(self.law, sample, method=self.method, shape=self.shape).parameters)
        return np.array(drawn)

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
    middle = 0.0 if law.n_fixed else float(np.median(x))
    usual = float(np.median(np.abs(x - middle))) or spread
    is_heavy = spread > _MOST_SPREAD * usual
    if is_heavy:
        centre, spread = middle, usual
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
        if is_heavy:
            starts = [np.array([0.0, 0.5, heavy]) for heavy in (1.5, 3.0)]
        known = {} if shape is None else {2: shape}
        free = np.arange(law.n_fixed, 2 if known else 3)
        tried = [maximise(law, z, with_values(start, known), free) for start in starts]
        parameters = min(tried, key=lambda p: _negative_log_likelihood(law, z, p))
    if not np.isfinite(parameters).all() or parameters[1] * spread < _COLLAPSED * usual:
        raise UserError(f"the fit to {len(x)} values collapses onto a few of them, whose spread is "
                        f"{spread:.3g}; leave out the values that are repeated or far beyond the "
                        "others, or give finer data")
    return TailFit(law, x, np.array([centre, 0, 0]) + parameters * [spread, spread, 1.0], method,
                   shape)


def reduced(z: np.ndarray, shape: float) -> np.ndarray:
    """y = ln(1 + ξz)/ξ; infinite beyond the end of the support."""
    if abs(shape) < 1e-10:
        return z
    with np.errstate(divide="ignore"):
        return np.log1p(np.maximum(shape * z, -1)) / shape


def maximise(
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


def with_values(parameters: np.ndarray, known: dict[int, float]) -> np.ndarray:
    """Parameters [3] of which those of the given indices have the given values."""
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


def level_of(law: Law, parameters: np.ndarray, log_survival: ArrayLike | None) -> np.ndarray:
    """The values exceeded with probability exp(log_survival) [...]."""
    location, scale, shape = parameters
    y = law.reduced_of_log_survival(np.asarray(log_survival, float))
    return location + scale * (y if abs(shape) < 1e-10 else np.expm1(shape * y) / shape)


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
                    lambda log_survival: -np.log(-np.log1p(-np.exp(log_survival))),
                    _extreme_value_from_moments)
