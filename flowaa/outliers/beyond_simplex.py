"""Outliers beyond a simplex that is a flow's base distribution, with return periods.

Where the base is a `NoisySimplex`, a latent's place among the archetypes is u = Z^T a + sigma e,
e ~ N(0, I). Its barycentric coordinates w, weights that sum to one and may be negative, are a plus
normal noise, and so is each K (1/K - w_i), the largest of which is the gauge (thesis 3.2). The
chance of a gauge is thus a sum of normal tails; the rest of the latent is independent of it.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa import extremes
from flowaa.flow.noisy_simplex import NoisySimplexLaw

Array = jax.Array

_JUST_OUTSIDE = 1.0 + 1e-3  # a gauge; 1 is the boundary
_HALVINGS = 50


def draw_beyond(law: NoisySimplexLaw, key: Array, n: int, *, extremeness: ArrayLike) -> Array:
    """Latents [n, D] whose weights are as far beyond the simplex as one draw in many is.

    Args:
        law: of the latents.
        key: a random key.
        n: draws.
        extremeness: return period in draws of the gauge, at least 1, a number or [n]. Where one
            latent in so many does not leave the simplex, draws lie just outside it.

    Raises:
        UserError: extremeness is out of range.
    """
    weight_key, rest_key = jax.random.split(key)
    gauge = jnp.maximum(gauge_level(law, extremeness), _JUST_OUTSIDE)
    weights = extremes.sample_exterior(weight_key, n, len(law.vertices), gauge)
    rest = law.rest(law.sample(seed=rest_key, sample_shape=(n,)))
    return law.latent(weights, rest)


def gauge_level(law: NoisySimplexLaw, n: ArrayLike) -> Array:
    """The gauge [...] that one latent in n [...] exceeds, at least 0; the inverse of the period.

    Raises:
        UserError: n is below 1 or not finite.
    """
    # Of one normal component: the check of n, and a level that is never too low.
    deviations = _deviations(law)
    highest = extremes.gauge_return_level(
        jnp.asarray(n) * 1.0, jnp.ones(len(law.vertices)), deviations)
    wanted = -jnp.log(jnp.asarray(n, highest.dtype))

    def halve(_: int, interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        middle = 0.5 * (low + high)
        is_likely = _log_chance(law, middle) > wanted
        return jnp.where(is_likely, middle, low), jnp.where(is_likely, high, middle)

    return jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.zeros_like(highest), highest))[1]


def gauge_period(law: NoisySimplexLaw, z: Array) -> Array:
    """Draws [n] of the law until one has as large a gauge as latents z [n, D], at least 1.

    1 / sum_i P(K (1/K - w_i) > gauge): a lower bound where a draw is beyond several facets.
    """
    gauge = extremes.gauge(coordinates(law, z))
    return jnp.exp(jnp.maximum(-_log_chance(law, gauge), 0.0))


def coordinates(law: NoisySimplexLaw, z: Array) -> Array:
    """Barycentric coordinates [n, K] of latents z [n, D]: they sum to one and may be negative."""
    u = z[..., :law.vertices.shape[1]]
    return 1 / len(law.vertices) + (u - law.vertices.mean(0)) @ _to_weights(law)


def _to_weights(law: NoisySimplexLaw) -> Array:
    """[K - 1, K]: weights are 1/K + (u - centre) times this."""
    return jnp.linalg.pinv(law.vertices - law.vertices.mean(0))


def _deviations(law: NoisySimplexLaw) -> Array:
    """Standard deviations [K] of K (1/K - w_i) about its mean given a."""
    return len(law.vertices) * law.noise * jnp.linalg.norm(_to_weights(law), axis=0)


def _log_chance(law: NoisySimplexLaw, gauge: Array) -> Array:
    """log sum_i P(K (1/K - w_i) > gauge) [...]."""
    means = 1.0 - len(law.vertices) * law.points  # [N, K], at most 1
    scores = (gauge[..., None, None] - means) / _deviations(law)
    log_chances = jax.scipy.stats.norm.logsf(scores)
    return jax.nn.logsumexp(log_chances + law.log_masses[:, None], axis=(-2, -1))
