"""Mean and variance of the chi law without loss of digits.

Thesis eq. 3.4 writes the mean as a ratio of Gamma functions and the variance as d − mean². In
float32 both lose every digit at d = 3072: ln Γ is thousands there while the ratio lives in its last
bits, and d − mean² ≈ ½ is the difference of two numbers near 3072. Here the variance comes first:

    v(d) = ½ − 1/(8d) − 1/(16d²) + 5/(128d³) + 23/(256d⁴) − 53/(1024d⁵) − 593/(2048d⁶) + O(d⁻⁷)

is the asymptotic series of the Gamma ratio (DLMF 5.11.13) put into eq. 3.4. Small d are reached
from d + 16 by mean(d) = mean(d + 2)·d/(d + 1), which for the variance reads

    v(d) = d/(d + 1)² + v(d + 2)·(d/(d + 1))²,

a sum of positive terms. The mean is then √(d − v), a harmless difference.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from flowaa.extremes import checks

_SERIES = (1 / 2, -1 / 8, -1 / 16, 5 / 128, 23 / 256, -53 / 1024, -593 / 2048)
_STEPS = 8  # of two degrees each: the series is only ever used at d > 16, where it is exact to 1e-9


def chi_moments(d: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of chi_d, the length of a standard normal vector (thesis eq. 3.4).

    Args:
        d: degrees of freedom, 1 to 1e7: an integer, or an array [...] of them.

    Returns:
        mean: [...] in the default float type, relative error ≤ 1e-6 in float32.
        variance: [...] likewise; it tends to ½ as d grows.

    Raises:
        UserError: if d < 1.
    """
    checks.require_positive(d, "d, the number of dimensions,", least=1)
    return _moments(jnp.asarray(d, jnp.result_type(float)))


@jax.jit
def _moments(d: jax.Array) -> tuple[jax.Array, jax.Array]:
    start = d + 2 * _STEPS
    variance = jnp.zeros_like(d)
    for coefficient in reversed(_SERIES):
        variance = variance / start + coefficient
    for step in reversed(range(_STEPS)):
        lower = d + 2 * step
        ratio = lower / (lower + 1)
        variance = ratio / (lower + 1) + variance * ratio**2
    return jnp.sqrt(d - variance), variance
