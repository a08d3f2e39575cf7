"""The generalised extreme value and generalised Pareto laws as distrax distributions.

With z = (x − location)/scale and the reduced variable y = ln(1 + ξz)/ξ, which is z at ξ = 0,

    generalised Pareto:         P(X > x) = exp(−y),          x ≥ location;
    generalised extreme value:  P(X ≤ x) = exp(−exp(−y)).

ξ > 0 is a power law's tail with index 1/ξ, ξ = 0 an exponential one (the exponential and Gumbel's
law), ξ < 0 ends at location − scale/ξ (Coles 2001, chapters 3 and 4). y is z·ln(1 + w)/w with
w = ξz, a series near w = 0, so that no digits are lost as ξ goes through 0, nor in the gradients.
"""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from flowaa.errors import UserError
from flowaa.extremes import checks
from flowaa.extremes.sampling import uniform_open

_FAR = 1e30


class _Generalised(distrax.Distribution):
    """Location, scale and shape of a law; events are scalars."""

    def __init__(self, location: ArrayLike, scale: ArrayLike, shape: ArrayLike):
        """Initialises the law.

        Args:
            location: [...] in data units: the threshold of Pareto's law.
            scale: [...] above 0, in data units.
            shape: [...] ξ, no unit.

        Raises:
            UserError: if scale is not above 0, or a parameter is not finite.
        """
        super().__init__()
        checks.require_positive(scale, "scale")
        checks.require_finite(location, "location")
        checks.require_finite(shape, "shape")
        dtype = jnp.result_type(float)
        given = [jnp.asarray(value, dtype) for value in (location, scale, shape)]
        try:
            self.location, self.scale, self.shape = jnp.broadcast_arrays(*given)
        except ValueError:
            raise UserError("location, scale and shape have the shapes " + ", ".join(
                str(value.shape) for value in given) + "; give numbers or one shape") from None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one event: a scalar."""
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Common shape of the parameters."""
        return self.location.shape

    def cdf(self, value: ArrayLike) -> jax.Array:
        """P(X ≤ value)."""
        return jnp.exp(self.log_cdf(value))

    def survival_function(self, value: ArrayLike) -> jax.Array:
        """P(X > value)."""
        return jnp.exp(self.log_survival_function(value))

    def _uniform(self, key: jax.Array, n: int) -> jax.Array:
        """Draws [n, *batch_shape]."""
        shape = (checks.require_count(n, "n, the number of draws,"), *self.batch_shape)
        checks.require_memory(shape, f"draws of the shape {shape}")
        return uniform_open(key, shape)

    def _reduced(self, value: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """y, with ±inf outside the support, and whether the value lies within."""
        z = (checks.reals(value, "value") - self.location) / self.scale
        at_infinity = jnp.isinf(z)
        finite = jnp.where(at_infinity, 0, z)
        w = self.shape * finite
        outside = w <= -1  # NaN is inside, and stays NaN
        far = w > _FAR  # where 1 + w is w, which may overflow
        y = finite * _log1p_ratio(jnp.where(outside | far, 0, w))
        of_far = jnp.log(jnp.where(far, jnp.abs(self.shape), 1)) + jnp.log(
            jnp.where(far, jnp.abs(finite), 1))
        y = jnp.where(far, of_far / jnp.where(far, self.shape, 1), y)
        y = jnp.where(outside, jnp.where(self.shape < 0, jnp.inf, -jnp.inf), y)
        return jnp.where(at_infinity, z, y), ~(outside | at_infinity)

    def _at_reduced(self, y: jax.Array) -> jax.Array:
        finite = jnp.where(jnp.isinf(y), 0.0, y)
        within = self.location + self.scale * finite * _expm1_ratio(self.shape * finite)
        has_end = jnp.where(y > 0, self.shape < 0, self.shape > 0)  # at y = -inf, and at +inf
        end = self.location - self.scale / jnp.where(has_end, self.shape, 1.0)
        return jnp.where(jnp.isinf(y), jnp.where(has_end, end, y), within)


class GeneralisedPareto(_Generalised):
    """The law of what exceeds a high threshold (Pickands 1975).

    >>> law = GeneralisedPareto(0.0, 1.0, 0.5)
    >>> float(law.survival_function(2.0))
    0.25
    """

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        return self._at_reduced(-jnp.log(self._uniform(key, n)))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """Log density [...] in nats; −inf outside the support."""
        y, inside = self._reduced(value)
        inside &= ~(checks.reals(value, "value") < self.location)
        log_prob = -(1 + self.shape) * jnp.where(inside, y, 0) - jnp.log(self.scale)
        return jnp.where(inside, log_prob, -jnp.inf)

    def log_survival_function(self, value: ArrayLike) -> jax.Array:
        """Logarithm of P(X > value) [...]."""
        return -jnp.maximum(self._reduced(value)[0], 0)

    def log_cdf(self, value: ArrayLike) -> jax.Array:
        """Logarithm of P(X ≤ value) [...]."""
        return jnp.log(-jnp.expm1(self.log_survival_function(value)))

    def quantile(self, q: ArrayLike) -> jax.Array:
        """The value below which a share q [...] lies."""
        return self._at_reduced(-checks.log_complement(_share(q)))


class GeneralisedExtremeValue(_Generalised):
    """The law of the largest of a block (Fisher and Tippett 1928; Jenkinson 1955).

    >>> law = GeneralisedExtremeValue(0.0, 1.0, 0.0)
    >>> round(float(law.cdf(0.0)), 4)
    0.3679
    """

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        # −ln(1 − U) is fine near 0, where the largest values come from.
        exponential = -jnp.log1p(-self._uniform(key, n))
        return self._at_reduced(-jnp.log(exponential))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """Log density [...] in nats; −inf outside the support."""
        y, inside = self._reduced(value)
        y = jnp.where(inside, y, 0)
        log_prob = -(1 + self.shape) * y - jnp.exp(-y) - jnp.log(self.scale)
        return jnp.where(inside, log_prob, -jnp.inf)

    def log_cdf(self, value: ArrayLike) -> jax.Array:
        """Logarithm of P(X ≤ value) [...]."""
        return -jnp.exp(-self._reduced(value)[0])

    def log_survival_function(self, value: ArrayLike) -> jax.Array:
        """Logarithm of P(X > value) [...]."""
        return jnp.log(-jnp.expm1(self.log_cdf(value)))

    def quantile(self, q: ArrayLike) -> jax.Array:
        """The value below which a share q [...] lies."""
        return self._at_reduced(-jnp.log(-checks.log_of(_share(q))))


def _share(q: ArrayLike) -> ArrayLike:
    """q if all of it is a share."""
    entries = checks.known(q, "q")
    if entries is not None and not np.all((entries >= 0) & (entries <= 1)):
        raise UserError(f"q is {checks.shown(q)}; a share lies between 0 and 1")
    return q


def _log1p_ratio(w: jax.Array) -> jax.Array:
    """ln(1 + w)/w for w > −1; its derivative cancels near 0, so it is a series there."""
    near = jnp.abs(w) < 0.25
    small, large = jnp.where(near, w, 0), jnp.where(near, 1, w)
    series = jnp.polyval(jnp.asarray([(-1) ** k / (k + 1) for k in range(13, -1, -1)], w.dtype),
                         small)
    return jnp.where(near, series, jnp.log1p(large) / large)


def _expm1_ratio(w: jax.Array) -> jax.Array:
    """(exp(w) − 1)/w, likewise."""
    near = jnp.abs(w) < 0.5
    small, large = jnp.where(near, w, 0), jnp.where(near, 1, w)
    factorials = np.cumprod(np.arange(1.0, 12))
    series = jnp.polyval(jnp.asarray(1 / factorials[::-1], w.dtype), small)
    return jnp.where(near, series, jnp.expm1(large) / large)
