"""Losses of a row's squared residual u: concave in u, so that their slope is a row weight.

Replacing a concave loss by its tangent gives a weighted least-squares problem that lies above
it, hence iteratively reweighted fits never raise the loss (Eugster & Leisch 2011, Weighted and
robust archetypal analysis). The cut-off c between residuals that count and those that do not is
a multiple of their median norm.
"""

import jax.numpy as jnp
from jax import Array

# In medians of the residual norm. Bisquare: Cleveland (1979). Huber: his 1.345 standard
# deviations, a standard deviation of a normal variable being 1 / 0.6745 medians.
_CUTOFF_MEDIANS = {"huber": 2.0, "bisquare": 6.0}
LOSSES = ("squared", *_CUTOFF_MEDIANS)

# A residual below a thousandth of the data's scale is not an outlier's. With more archetypes than
# features most rows have next to none, and the median is taken over those that have one.
_LEAST_NORM = 1e-3


def loss_and_slope(name: str, squared: Array, cutoff: Array) -> tuple[Array, Array]:
    """The loss of squared residuals and its derivative with respect to them.

    Args:
        name: one of LOSSES; "squared" is u itself.
        squared: [B] squared residual norms u.
        cutoff: [] the norm c beyond which the loss grows as c√u (huber) or not at all (bisquare).
    """
    if name == "squared":
        return squared, jnp.ones_like(squared)
    inside = squared <= cutoff**2  # also where c is infinite: before any residual is known
    if name == "huber":
        norm = jnp.sqrt(jnp.where(inside, 1.0, squared))
        return (jnp.where(inside, squared, 2.0 * cutoff * norm - cutoff**2),
                jnp.where(inside, 1.0, cutoff / norm))
    shrink = jnp.where(inside, 1.0 - squared / cutoff**2, 0.0)
    value = cutoff**2 / 3.0 * (1.0 - shrink**3)
    return jnp.where(jnp.isfinite(cutoff), value, squared), shrink**2


def median_norm(name: str, squared: Array, weight: Array) -> Array:
    """Median residual norm [] of the rows that count and have one; 0 where no loss asks for it."""
    if name == "squared":
        return jnp.zeros((), squared.dtype)
    norm = jnp.sqrt(squared)
    counts = (weight > 0) & (norm > _LEAST_NORM)
    return jnp.nan_to_num(jnp.nanmedian(jnp.where(counts, norm, jnp.nan)))


def next_cutoff(name: str, cutoff: Array, median: Array) -> Array:
    """The cut-off for the next round; it never grows, so that the loss never does."""
    if name == "squared":
        return cutoff
    return jnp.minimum(cutoff, _CUTOFF_MEDIANS[name] * jnp.maximum(median, _LEAST_NORM))
