"""Temme's uniform expansion of the incomplete gamma function: the correction to a normal tail.

With λ = x/a and ½η² = λ − 1 − ln λ (η has the sign of λ − 1), the regularised upper incomplete
gamma function is, exactly (DLMF 8.12.3, Temme 1979),

    Q(a, x) = ½ erfc(η √(a/2)) + exp(−½ a η²) / √(2πa) · S_a(η),

where S_a is smooth and close to −1/3 at η = 0. Differentiating both sides gives, with
f(η) = η/(λ − 1) and F = 1/Γ*(a), the scaled gamma function,

    S_a'(η)/a = η S_a(η) + 1 − F f(η),

from which the Taylor coefficients of S_a follow by a backward recurrence in double precision
(Gil, Segura and Temme 2012). They depend on a alone, so they are constants of a compiled program.
"""

import functools
import math

import numpy as np

_ORDER = 30  # the coefficients fall like (2√π)⁻ⁿ ≈ 0.28ⁿ; at |η| ≤ 1 thirty reach double precision
SMALLEST_A = 16.0  # below, the backward recurrence loses digits; finite sums are short there


@functools.cache
def correction_coefficients(a: float) -> tuple[float, ...]:
    """Taylor coefficients of S_a(η) at 0, for |η| ≤ 1.

    Args:
        a: the order of the incomplete gamma function, at least `SMALLEST_A`.

    Returns:
        The coefficients of η⁰, η¹, …, relative accuracy 1e-13 at |η| ≤ 1.
    """
    f = _base_coefficients(_ORDER + 2)
    s = np.zeros(_ORDER + 3)
    for n in range(_ORDER + 1, 0, -1):
        s[n - 1] = f[n] + (n + 1) / a * s[n + 1]
    return tuple(float(value) for value in s[:_ORDER] / (1 + s[1] / a))


def log_scaled_gamma(a: float) -> float:
    """Logarithm of Γ*(a), where Γ(a) = √(2π/a) (a/e)^a Γ*(a): what Stirling's formula leaves out.

    Args:
        a: any positive number.

    Returns:
        ln Γ*(a) ≈ 1/(12a), absolute error ≤ 1e-14.
    """
    if a < SMALLEST_A:
        return math.lgamma(a) - (a - 0.5) * math.log(a) + a - 0.5 * math.log(2 * math.pi)
    return 1 / (12 * a) - 1 / (360 * a**3) + 1 / (1260 * a**5) - 1 / (1680 * a**7)


@functools.cache
def _base_coefficients(order: int) -> np.ndarray:
    """Taylor coefficients of f(η) = η/(λ − 1), from μ μ' = η (1 + μ) for μ = λ − 1."""
    mu = np.zeros(order + 2)
    mu[1] = 1.0
    for m in range(2, order + 2):
        mu[m] = (mu[m - 1] - sum(k * mu[k] * mu[m + 1 - k] for k in range(2, m))) / (m + 1)
    f = np.zeros(order + 1)
    for m in range(order + 1):
        f[m] = (m + 1) * mu[m + 1] - sum(mu[k] * f[m - k] for k in range(1, m + 1))
    return f
