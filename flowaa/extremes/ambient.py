"""Outliers made in data space, without a model: the baselines.

None of them knows a density, so none has a return period: they are set in data units. They take a
batch x [n, ...] of data (or its bounds) and work on vectors and images alike.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from flowaa.arguments import random_key
from flowaa.errors import UserError
from flowaa.extremes import checks


def sample_box(key: jax.Array, n: int, low: ArrayLike, high: ArrayLike) -> jax.Array:
    """Uniform draws in a box.

    Args:
        key: a random key.
        n: draws.
        low: [...] smallest value of every feature.
        high: [...] largest value of every feature, of the same shape.

    Returns:
        x [n, ...].

    Raises:
        UserError: if n < 1, the shapes differ, a bound is not finite, or low is above high.
    """
    key = random_key(key)
    for name, bound in (("low", low), ("high", high)):
        checks.require_finite(bound, name)
    low, high = checks.reals(low, "low"), checks.reals(high, "high")
    if low.shape != high.shape:
        raise UserError(f"the box's bounds have the shapes {low.shape} and {high.shape}; "
                        "they must be the same")
    is_known = not any(isinstance(bound, jax.core.Tracer) for bound in (low, high))
    if is_known and np.any(np.asarray(low) > np.asarray(high)):
        raise UserError("low is above high in some feature; swap the box's bounds there")
    n, _ = checks.require_draws(n, low.size, least=0)
    shape = (n, *low.shape)
    share = jax.random.uniform(key, shape)
    # Not low + share · (high − low): the difference may be beyond float32.
    return (1 - share) * jnp.broadcast_to(low, shape) + share * jnp.broadcast_to(high, shape)


def add_noise(key: jax.Array, x: ArrayLike, deviation: ArrayLike) -> jax.Array:
    """Data x [n, ...] plus independent Gaussian noise of this deviation, in data units.

    Raises:
        UserError: if the deviation is not finite and above 0.
    """
    checks.require_positive(deviation, "deviation")
    x, deviation = _data(x), checks.reals(deviation, "deviation")
    if deviation.shape not in ((), x.shape, x.shape[1:]):
        raise UserError(f"deviation has the shape {deviation.shape}; it must be a number or of the "
                        f"shape of an example, {x.shape[1:]}")
    noise = jax.random.normal(random_key(key), x.shape, x.dtype)
    return x + jnp.broadcast_to(deviation, x.shape).astype(x.dtype) * noise


def permute_features(key: jax.Array, x: ArrayLike) -> jax.Array:
    """Shuffles every feature of x [n, ...] among the rows on its own.

    Each feature keeps its distribution; what the features have to do with one another is lost.
    """
    return jax.random.permutation(random_key(key), _data(x), axis=0, independent=True)


def mix_up(key: jax.Array, x: ArrayLike, *, concentration: float = 1.0) -> jax.Array:
    """Blends every row of x with another one (Zhang et al. 2018).

    Args:
        key: a random key.
        x: [n, ...] data, at least two rows.
        concentration: of the symmetric Beta law of the blend's share: 1 is uniform, larger blends
            more evenly.

    Returns:
        [n, ...] points between two rows.

    Raises:
        UserError: if there are fewer than two rows or the concentration is not above 0.
    """
    checks.require_positive(concentration, "concentration", shapes=((),))
    x = _data(x)
    n = x.shape[0]
    if n < 2:
        raise UserError("mix-ups blend two rows; give at least two")
    partner_key, share_key = jax.random.split(random_key(key))
    steps = jax.random.randint(partner_key, (n,), 1, n)  # never back to the row itself
    partner = (jnp.arange(n) + steps) % n
    share = jax.random.beta(share_key, concentration, concentration, (n,) + (1,) * (x.ndim - 1),
                            x.dtype)
    return share * x + (1 - share) * x[partner]


def _data(x: ArrayLike) -> jax.Array:
    """Finite data [n, ...] of a float type."""
    checks.require_finite(x, "x")
    return checks.reals(x, "x", least_axes=1)
