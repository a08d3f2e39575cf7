"""The laws as distrax distributions; the one module of this package that imports distrax."""

import distrax
import jax
import jax.numpy as jnp
from distrax import Gumbel as Gumbel
from jax.typing import ArrayLike

from flowaa.extremes import checks, chi
from flowaa.extremes.moments import chi_moments
from flowaa.extremes.uniform import uniform_open


class Chi(distrax.Distribution):
    """σ·chi_d, the length of a d-dimensional normal vector of deviation σ (thesis eq. 3.2, 3.3).

    Events are scalars; the batch shape is σ's.
    """

    def __init__(self, d: int, sigma: ArrayLike = 1.0):
        """Initialises the law.

        Args:
            d: degrees of freedom, 1 to 1e7; a Python integer.
            sigma: [...] scale of the coordinates.

        Raises:
            UserError: if d < 1 or σ ≤ 0.
        """
        super().__init__()
        checks.require_positive(sigma, "sigma")
        self._d = checks.require_count(d, "d, the number of dimensions,")
        self._sigma = jnp.asarray(sigma, jnp.result_type(sigma, float))

    @property
    def d(self) -> int:
        """Degrees of freedom."""
        return self._d

    @property
    def sigma(self) -> jax.Array:
        """Scale of the coordinates, [...]."""
        return self._sigma

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one event: a scalar."""
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of σ."""
        return self._sigma.shape

    def _sample_n(self, key: jax.Array, n: int) -> jax.Array:
        log_survival = jnp.log(uniform_open(key, (n, *self.batch_shape)))
        return self._scaled(chi.chi_quantile_from_log_survival(log_survival, self._d))

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """Log density at radii [...], in nats."""
        log_prob = chi.chi_log_prob(self._standardised(value), self._d)
        return log_prob - jnp.broadcast_to(jnp.log(self._sigma), log_prob.shape)

    def log_cdf(self, value: ArrayLike) -> jax.Array:
        """Logarithm of P(R ≤ value); accurate in the lower tail."""
        return chi.chi_log_cdf(self._standardised(value), self._d)

    def survival_function(self, value: ArrayLike) -> jax.Array:
        """P(R > value)."""
        return jnp.exp(self.log_survival_function(value))

    def log_survival_function(self, value: ArrayLike) -> jax.Array:
        """Logarithm of P(R > value); accurate in the upper tail."""
        return chi.chi_log_survival(self._standardised(value), self._d)

    def quantile(self, q: ArrayLike) -> jax.Array:
        """The radius below which a share q [...] lies; the inverse of `cdf`."""
        return self._scaled(chi.chi_quantile(q, self._d))

    def quantile_from_log_survival(self, log_survival: ArrayLike) -> jax.Array:
        """The inverse of `log_survival_function`: exact where a float32 q would be 1."""
        return self._scaled(chi.chi_quantile_from_log_survival(log_survival, self._d))

    def quantile_from_log_cdf(self, log_cdf: ArrayLike) -> jax.Array:
        """The inverse of `log_cdf`."""
        return self._scaled(chi.chi_quantile_from_log_cdf(log_cdf, self._d))

    def mean(self) -> jax.Array:
        """Mean radius, about σ√d."""
        return self._sigma * chi_moments(self._d)[0]

    def variance(self) -> jax.Array:
        """Variance of the radius, about σ²/2."""
        return self._sigma**2 * chi_moments(self._d)[1]

    def median(self) -> jax.Array:
        """Median radius."""
        return self.quantile(0.5)

    def mode(self) -> jax.Array:
        """Most probable radius, σ√(d − 1)."""
        return self._sigma * (self._d - 1) ** 0.5

    def _standardised(self, value: ArrayLike) -> jax.Array:
        value = jnp.asarray(value)
        shape = jnp.broadcast_shapes(value.shape, self.batch_shape)
        return jnp.broadcast_to(value, shape) / jnp.broadcast_to(self._sigma, shape)

    def _scaled(self, radius: jax.Array) -> jax.Array:
        shape = jnp.broadcast_shapes(radius.shape, self.batch_shape)
        return jnp.broadcast_to(radius, shape) * jnp.broadcast_to(self._sigma, shape)
