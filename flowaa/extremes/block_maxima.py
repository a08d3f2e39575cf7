"""Fitting a Gumbel law to block maxima, with confidence (Gumbel 1958; Coles 2001, chapter 3)."""

import dataclasses
import math
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
from distrax import Gumbel
from jax.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes import checks

_EULER = 0.5772156649015329
_SKEWNESS = 1.1395470994046487  # of any Gumbel law, 12√6 ζ(3)/π³
_KURTOSIS = 5.4  # likewise
_NEWTON_STEPS = 30


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class GumbelFit:
    """A Gumbel law fitted to block maxima."""

    location: float  # in the units of the maxima
    scale: float  # likewise
    covariance: np.ndarray  # [2, 2] of the estimates (location, scale), asymptotic
    n_blocks: int

    @property
    def law(self) -> Gumbel:
        """The fitted law."""
        return Gumbel(self.location, self.scale)

    def location_interval(self, confidence: float = 0.95) -> Interval:
        """The location and its confidence interval."""
        return self._interval(self.location, (1.0, 0.0), confidence)

    def scale_interval(self, confidence: float = 0.95) -> Interval:
        """The scale and its confidence interval, symmetric on the logarithmic axis."""
        spread = math.exp(_score(confidence) * math.sqrt(self.covariance[1, 1]) / self.scale)
        return Interval(self.scale, self.scale / spread, self.scale * spread)

    def return_level(self, period: float, confidence: float = 0.95) -> Interval:
        """The level that one maximum in `period` exceeds, and its confidence interval.

        Args:
            period: return period in blocks, above 1.
            confidence: of the interval, between 0 and 1; by the delta method.
        """
        checks.require_inside(period, "the return period", 1, np.inf)
        reduced = -math.log(-math.log1p(-1 / period))  # of the standard Gumbel law
        return self._interval(self.location + self.scale * reduced, (1.0, reduced), confidence)

    def _interval(self, estimate: float, gradient: tuple[float, float],
                  confidence: float) -> Interval:
        deviation = math.sqrt(np.asarray(gradient) @ self.covariance @ np.asarray(gradient))
        reach = _score(confidence) * deviation
        return Interval(estimate, estimate - reach, estimate + reach)


def block_maxima(values: ArrayLike, block_size: int) -> jax.Array:
    """The largest value of each block of neighbours.

    Args:
        values: [N] observations.
        block_size: observations a block; an incomplete last block is left out.

    Returns:
        [N // block_size] maxima.

    Raises:
        UserError: if there is no complete block.
    """
    block_size = checks.require_count(block_size, "block_size")
    row = jnp.ravel(jnp.asarray(values))
    n_blocks = row.size // block_size
    if n_blocks == 0:
        raise UserError(f"block_size is {block_size}, but there are only {row.size} values; "
                        "choose smaller blocks")
    return jnp.max(row[:n_blocks * block_size].reshape(n_blocks, block_size), axis=1)


def fit_gumbel(maxima: ArrayLike, *, method: str = "ml") -> GumbelFit:
    """Fits a Gumbel law to block maxima.

    Args:
        maxima: [N] block maxima, at least two different ones.
        method: "ml", maximum likelihood, or "moments", from mean and standard deviation: simpler,
            with a location almost as sure and a scale of 1.8 times the variance.

    Returns:
        The fit, with the asymptotic covariance of its two numbers.

    Raises:
        UserError: if the maxima are not finite or all equal, or the method is unknown.
    """
    values = np.asarray(maxima, np.float64)
    if values.ndim != 1 or not np.all(np.isfinite(values)) or len(np.unique(values)) < 2:
        raise UserError("a Gumbel fit needs at least two different, finite block maxima in one row")
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    if method == "moments":
        scale = deviation * math.sqrt(6) / math.pi
        location = mean - _EULER * scale
        covariance = _moments_covariance(scale)
    elif method == "ml":
        standard = jnp.asarray((values - mean) / deviation, jnp.result_type(float))
        location, scale = (float(value) for value in _maximise_likelihood(standard))
        location, scale = mean + deviation * location, deviation * scale
        covariance = _likelihood_covariance(scale)
    else:
        raise UserError(f"method {method!r}: a Gumbel fit goes by 'ml' or 'moments'")
    return GumbelFit(location, scale, covariance / len(values), len(values))


@jax.jit
def _maximise_likelihood(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Location and scale of largest likelihood for standardised maxima [N].

    The scale β solves β = mean(x) − Σ x w, with weights w ∝ exp(−x/β): an equation whose left side
    minus right side only grows, so that guarded Newton steps find its root.
    """

    def newton_step(_: jax.Array, scale: jax.Array) -> jax.Array:
        weights = jax.nn.softmax(-x / scale)
        tilted_mean = jnp.sum(weights * x)
        tilted_variance = jnp.sum(weights * (x - tilted_mean) ** 2)
        residual = scale - jnp.mean(x) + tilted_mean
        return jnp.maximum(scale - residual / (1 + tilted_variance / scale**2), scale / 4)

    scale = jax.lax.fori_loop(
        0, _NEWTON_STEPS, newton_step, jnp.asarray(math.sqrt(6) / math.pi, x.dtype))
    log_mean = jax.nn.logsumexp(-x / scale) - jnp.log(jnp.asarray(x.size, x.dtype))
    return -scale * log_mean, scale


def _likelihood_covariance(scale: float) -> np.ndarray:
    """Inverse Fisher information of (location, scale) for one maximum [2, 2]."""
    cross = 1 - _EULER
    return 6 / math.pi**2 * scale**2 * np.array([[math.pi**2 / 6 + cross**2, cross], [cross, 1.0]])


def _moments_covariance(scale: float) -> np.ndarray:
    """Asymptotic covariance of (location, scale) by moments for one maximum [2, 2].

    By the delta method from the covariance of mean and standard deviation s: variance s² and
    s² (kurtosis − 1)/4, covariance s² skewness/2.
    """
    deviation = scale * math.pi / math.sqrt(6)
    moments = deviation**2 * np.array([[1.0, _SKEWNESS / 2], [_SKEWNESS / 2, (_KURTOSIS - 1) / 4]])
    to_scale = math.sqrt(6) / math.pi
    jacobian = np.array([[1.0, -_EULER * to_scale], [0.0, to_scale]])
    return jacobian @ moments @ jacobian.T


def _score(confidence: float) -> float:
    """The two-sided normal score of a confidence level."""
    checks.require_inside(confidence, "confidence", 0, 1)
    return NormalDist().inv_cdf((1 + confidence) / 2)
