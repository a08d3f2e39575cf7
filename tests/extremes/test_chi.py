"""The chi law against mpmath and SciPy, in float32, from one dimension to ten million."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from flowaa import extremes
from flowaa.errors import UserError

DIMENSIONS = (1, 2, 3, 31, 32, 3072, 10**6, 10**7)  # 32 is where the expansion takes over
LOG_TAILS = -np.array([0.7, 1.0, 2.3, 6.9, 13.8, 27.7])  # 0.5 to 1e-12


def exact_moments(d):
    with mp.workdps(40):
        mean = mp.sqrt(2) * mp.exp(mp.loggamma(mp.mpf(d + 1) / 2) - mp.loggamma(mp.mpf(d) / 2))
        return mean, d - mean**2


def oracle_tails(r, d):
    """ln P(R ≤ r) and ln P(R > r) by Gauss–Legendre quadrature of the density's ratio to f(r).

    (SciPy's incomplete gamma functions are off by 1e-2 in the tails of 1e7 dimensions.)
    """
    r = np.asarray(r, np.float64)
    nodes, weights = np.polynomial.legendre.leggauss(600)
    tails = []
    for reach in (-np.minimum(r, 14), np.full_like(r, 14)):
        step = reach[:, None] * (nodes + 1) / 2
        log_ratio = (d - 1) * np.log1p(step / r[:, None]) - step * (step / 2 + r[:, None])
        with np.errstate(over="ignore"):  # far outside, where no test looks
            tails.append(np.log(np.exp(log_ratio) @ weights * np.abs(reach) / 2))
    lower, upper = tails + oracle_log_prob(r, d)
    # The one near 0 from the other: their sum is one.
    return (np.where(upper < lower, np.log1p(-np.exp(np.minimum(upper, lower))), lower),
            np.where(lower < upper, np.log1p(-np.exp(np.minimum(upper, lower))), upper))


def oracle_log_prob(r, d):
    with mp.workdps(40):
        a = mp.mpf(d) / 2
        constant = (1 - a) * mp.log(2) - mp.loggamma(a)
        return np.array([float(constant + (d - 1) * mp.log(x) - x * x / 2)
                         for x in map(mp.mpf, map(float, r))])


def radii(d):
    """float32 radii at tail probabilities from 1e-12 to 1/2 on both sides."""
    law = stats.chi(d)
    return (np.float32(law.ppf(np.exp(LOG_TAILS[::-1]))), np.float32(law.isf(np.exp(LOG_TAILS))))


@pytest.mark.parametrize("d", [*DIMENSIONS, 4, 10, 17, 100, 784])
def test_moments_keep_their_digits(d):
    mean, variance = extremes.chi_moments(d)
    exact_mean, exact_variance = exact_moments(d)
    assert mean.dtype == variance.dtype == jnp.float32
    assert abs(float(mean) / exact_mean - 1) <= 2e-7
    assert abs(float(variance) / exact_variance - 1) <= 1e-6


def test_moments_of_an_array_of_dimensions_in_a_compiled_function():
    together = jax.jit(extremes.chi_moments)(jnp.asarray([1, 10, 3072]))
    apart = [extremes.chi_moments(d) for d in (1, 10, 3072)]
    np.testing.assert_allclose(np.stack(together, 1), np.stack(apart), rtol=3e-7)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_law_and_inverse_against_oracles(d):
    lower, upper = radii(d)
    r = np.concatenate([lower, upper])

    @jax.jit
    def law(r):
        log_cdf, log_survival = extremes.chi_log_cdf(r, d), extremes.chi_log_survival(r, d)
        return (extremes.chi_log_prob(r, d), log_cdf, log_survival,
                extremes.chi_quantile(jnp.exp(log_cdf), d),
                extremes.chi_quantile_from_log_survival(log_survival, d))

    log_prob, log_cdf, log_survival, by_q, by_survival = map(np.asarray, law(r))
    assert log_prob.dtype == np.float32
    np.testing.assert_allclose(log_prob, oracle_log_prob(r, d), rtol=3e-6, atol=3e-6)
    exact_cdf, exact_survival = oracle_tails(r, d)
    np.testing.assert_allclose(log_cdf, exact_cdf, rtol=2e-5, atol=1e-18)
    np.testing.assert_allclose(log_survival, exact_survival, rtol=2e-5, atol=1e-18)
    # Back again, each side from the tail that is small there. Beyond 1000 dimensions an error that
    # matters is one in units of the deviation 0.7, not of the radius.
    n = len(lower)
    tolerance = np.maximum(3e-6 * np.minimum(r, 30), 2 * np.spacing(r))
    assert np.all(np.abs(by_q - r)[:n] <= tolerance[:n])
    assert np.all(np.abs(by_survival - r)[n:] <= tolerance[n:])


def test_tail_in_a_million_dimensions_by_quadrature():
    """SciPy's own expansion is Temme's too: one point by brute force."""
    d, r = 10**6, np.float32(1003.0)
    with mp.workdps(30):
        a = mp.mpf(d) / 2
        constant = (1 - a) * mp.log(2) - mp.loggamma(a)
        density = lambda t: mp.exp(constant + (d - 1) * mp.log(t) - t * t / 2)  # noqa: E731
        exact = mp.log(mp.quad(density, [mp.mpf(float(r)) + k for k in (0, 0.5, 1, 2, 4, 8)]))
    assert abs(float(extremes.chi_log_survival(r, d)) / exact - 1) < 3e-6


@pytest.mark.parametrize("d", [1, 10, 3072])
def test_quantile_far_beyond_where_probabilities_underflow(d):
    log_tail = -np.float32(np.concatenate([np.logspace(-30, 0, 31), np.linspace(2, 779, 40)]))
    r = np.asarray(extremes.chi_quantile_from_log_survival(log_tail, d))
    assert np.all(np.isfinite(r))
    assert np.all(np.diff(r) >= 0)
    tail = extremes.chi_log_survival(r, d)
    hazard = np.exp(extremes.chi_log_prob(r, d) - tail)
    inside = r > 1e-30  # smaller ones are rounded to zero
    error = np.abs(tail - log_tail)[inside] / hazard[inside]  # in r
    assert np.all(error <= np.maximum(1e-5, 3 * np.spacing(r[inside])))
    assert np.isnan(extremes.chi_quantile_from_log_survival(-800.0, d))  # beyond the table


@pytest.mark.parametrize("d", [1, 2, 5, 784, 10**7])
def test_tails_go_on_beyond_the_table(d):
    """Where p < e^-780: at the centre, and at radii of 40 deviations and more."""
    scale = max(1, d**0.5)
    r = np.float32([scale * 0.3, scale + 30, scale + 100, scale * 3 + 40])
    lower, upper = oracle_tails(r[:1], d)[0], oracle_tails(r[1:], d)[1]
    np.testing.assert_allclose(extremes.chi_log_cdf(r[:1], d), lower, rtol=1e-5)
    np.testing.assert_allclose(extremes.chi_log_survival(r[1:], d), upper, rtol=1e-5)


@pytest.mark.parametrize("d", [1, 2, 3072])
def test_ends_and_outside(d):
    @jax.jit
    def law(r, q):
        return (extremes.chi_log_prob(r, d), extremes.chi_log_cdf(r, d),
                extremes.chi_log_survival(r, d), extremes.chi_quantile(q, d))

    log_prob, log_cdf, log_survival, quantile = law(np.float32([-1, 0, np.inf, np.nan]),
                                                    np.float32([0, 1, -0.1, 1.1, np.nan]))
    at_zero = 0.5 * np.log(2 / np.pi) if d == 1 else -np.inf
    np.testing.assert_allclose(log_prob, [-np.inf, at_zero, -np.inf, np.nan], rtol=1e-6)
    np.testing.assert_array_equal(log_cdf, [-np.inf, -np.inf, 0, np.nan])
    np.testing.assert_array_equal(log_survival, [0, 0, -np.inf, np.nan])
    np.testing.assert_array_equal(quantile, [0, np.inf, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("d", [1, 3072])
def test_derivatives_are_those_of_the_law(d):
    r = np.float32(stats.chi(d).ppf([1e-6, 0.2, 0.5, 0.8, 1 - 1e-6]))
    r = np.append(r, r[-1] * np.float32(1.5))
    exact = np.asarray(r, np.float64)
    slope = (d - 1) / exact - exact
    hazard = np.exp(oracle_log_prob(r, d) - oracle_tails(r, d)[1])
    each = lambda f: jax.jit(jax.vmap(f))  # noqa: E731
    log_survival = lambda r: extremes.chi_log_survival(r, d)  # noqa: E731
    np.testing.assert_allclose(each(jax.grad(lambda r: extremes.chi_log_prob(r, d)))(r), slope,
                               rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(each(jax.grad(log_survival))(r), -hazard, rtol=3e-5)
    # Second derivative of ln S: −h (h + (ln f)').
    np.testing.assert_allclose(each(jax.grad(jax.grad(log_survival)))(r),
                               -hazard * (hazard + slope), rtol=1e-3, atol=1e-6)
    q = np.float32([0.01, 0.3, 0.5, 0.7, 0.99])
    at = stats.chi(d).ppf(np.asarray(q, np.float64))
    np.testing.assert_allclose(each(jax.grad(lambda q: extremes.chi_quantile(q, d)))(q),
                               np.exp(-oracle_log_prob(at, d)), rtol=3e-5)


def test_return_level_and_period_are_inverse():
    for d in (1, 3072):
        for n in (1.5, 1e2, 1e12):
            level = extremes.chi_return_level(n, d)
            assert float(level) == pytest.approx(stats.chi(d).isf(1 / n), rel=1e-6)
            assert float(extremes.chi_return_period(level, d)) == pytest.approx(n, rel=1e-3)
    assert extremes.chi_return_level(1, 3072) == 0
    assert np.isfinite(extremes.chi_return_level(1e300, 3072))  # beyond float32's own range


@pytest.mark.parametrize("d", [0, -3, 1.5, True, "x", None, np.nan])
def test_wrong_dimension_is_one_clear_line(d):
    for call in (lambda: extremes.chi_log_prob(1.0, d), lambda: extremes.chi_return_level(10, d),
                 lambda: extremes.chi_quantile(0.5, d),
                 lambda: extremes.gumbel_of_radius(d, 100)):
        with pytest.raises(UserError, match="d, the number of dimensions") as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("d", [0, -3, np.nan, "x"])
def test_wrong_dimension_of_the_moments(d):
    with pytest.raises(UserError, match="d, the number of dimensions"):
        extremes.chi_moments(d)


def test_a_removed_name_says_what_replaces_it():
    with pytest.raises(AttributeError, match="sample_axis was removed; use sample_gumbel"):
        extremes.sample_axis  # noqa: B018
    with pytest.raises(AttributeError, match="does not exist"):
        extremes.nonsense  # noqa: B018
