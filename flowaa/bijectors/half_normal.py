"""The law of |z| of a standard normal z, by its hazard, which loses no digits far out.

With z >= 0 and S(z) = P(|Z| > z) = erfc(z / sqrt 2):

    H(z) = -log S(z), the cumulative hazard;    h(z) = H'(z), the hazard;    h' = h (h - z).

S leaves float32 at z = 14, where H is 101. Relative errors of H, h and the inverse of H are at most
1e-6 in float32 and 1e-13 in float64. Beyond `_FAR`, h is the reciprocal of Mills's ratio as
Laplace's continued fraction, z + 1/(z + 2/(z + 3/(z + …))) (Abramowitz & Stegun 1964, 26.2.14).
"""

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.bijectors.base import Array

_FAR = 3.0  # from where the continued fraction is right to float64's digits
_TERMS = 40  # of it
_NEAR = 1.0  # below it, H comes of erf, whose digits erfc has lost
_NEWTON_STEPS = 4
_AT_ZERO = float(np.sqrt(2 / np.pi))  # h(0)


@jax.custom_jvp
def hazard(z: Array) -> Array:
    """h(z) of z >= 0: from √(2/π) at 0 up to z itself."""
    return _hazard_and_excess(z)[0]


@hazard.defjvp
def _hazard_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value, excess = _hazard_and_excess(primals[0])
    return value, value * excess * tangents[0]


@jax.custom_jvp
def cumulative_hazard(z: Array) -> Array:
    """H(z) = -log erfc(z / sqrt 2) of z >= 0."""
    near = jnp.minimum(z, _NEAR)
    far = jnp.maximum(z, _NEAR)
    return jnp.where(z < _NEAR, -jnp.log1p(-jax.lax.erf(near * np.sqrt(0.5))),
                     far * far / 2 + jnp.log(hazard(far) / _AT_ZERO))


@cumulative_hazard.defjvp
def _cumulative_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return cumulative_hazard(primals[0]), hazard(primals[0]) * tangents[0]


@jax.custom_jvp
def inverse_cumulative_hazard(total: Array) -> Array:
    """z >= 0 with H(z) = total, by Newton's method; its derivative is 1 / h(z).

    H is convex, and close to z^2 / 2 + h(0) z, whose root is the start.
    """
    z = 2 * total / (_AT_ZERO + jnp.sqrt(_AT_ZERO**2 + 2 * total))
    for _ in range(_NEWTON_STEPS):
        z = jnp.maximum(z - (cumulative_hazard(z) - total) / hazard(z), 0.0)
    return z


@inverse_cumulative_hazard.defjvp
def _inverse_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    z = inverse_cumulative_hazard(primals[0])
    return z, tangents[0] / hazard(z)


def _hazard_and_excess(z: Array) -> tuple[Array, Array]:
    """h and h - z, which far out is about 1 / z and a difference of equal numbers."""
    near, far = jnp.minimum(z, _FAR), jnp.maximum(z, _FAR)
    of_near = _AT_ZERO * jnp.exp(-near * near / 2) / jax.lax.erfc(near * np.sqrt(0.5))
    below = far
    for term in range(_TERMS, 1, -1):
        below = far + term / below
    excess = 1 / below
    is_near = z < _FAR
    return (jnp.where(is_near, of_near, far + excess),
            jnp.where(is_near, of_near - near, excess))
