"""The radial tail against mpmath, the chi law of the radius and finite differences."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

from flowaa.bijectors.base import bound
from flowaa.bijectors.radial_tail import RadialTail

SCALE = 0.7


def params(shape: float, dtype: str = "float64") -> dict[str, jax.Array]:
    return {"log_scale": jnp.full(1, np.log(SCALE), dtype),
            "log_shape": jnp.full(1, np.log(shape), dtype)}


def exactly(s: float, xi: mpmath.mpf, d: int) -> mpmath.mpf:
    """v(s) by mpmath."""
    s = mpmath.mpf(s)
    w = mpmath.sign(s) * mpmath.sqrt(d * (mpmath.expm1(s) - s))
    growth = -mpmath.log(mpmath.erfc(w / mpmath.sqrt(2)))
    return xi * growth - (1 - xi) / 2 * (mpmath.log1p(xi * mpmath.exp(s)) - mpmath.log1p(xi))


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("d", [1, 2, 50])
def test_values_have_the_digits_that_the_docstring_says(d, dtype, limit):
    s = np.concatenate([np.linspace(-8, -0.1, 30), np.linspace(-0.1, 0.1, 11),
                        np.linspace(0.1, np.log(150 / d + 1), 30)])
    with jax.enable_x64(dtype == "float64"), mpmath.workdps(60):
        given = params(0.4, dtype)
        log_scale, log_shape = (mpmath.mpf(float(value[0])) for value in given.values())
        xi = mpmath.exp(log_shape)
        stretch = [log_scale + exactly(float(value), xi, d) for value in s]
        z = np.sqrt(np.exp(s))[:, None] * np.ones((1, d))  # |z|^2 = D exp(s)
        x = np.array([[float(mpmath.exp(value) * row) for row in rows]
                      for value, rows in zip(stretch, z, strict=True)])
        module = bound(RadialTail(), given)
        found, log_det = module.decode(jnp.asarray(z, dtype))
        back, log_det_back = module.encode(jnp.asarray(x, dtype))
        slope = [mpmath.diff(lambda at: exactly(at, xi, d), float(value)) for value in s]
        exact = np.array([float(d * value + mpmath.log1p(2 * rate))
                          for value, rate in zip(stretch, slope, strict=True)])
    assert np.abs(np.asarray(back, float) / z - 1).max() < limit
    # The logarithm of x has the digits; a digit of it is log x times as many of x.
    assert (np.abs(np.asarray(found, float) / x - 1) / (1 + np.abs(np.log(x)))).max() < limit
    for values, sign in ((log_det, 1), (log_det_back, -1)):
        error = np.abs(sign * np.asarray(values, float) - exact) / (1 + np.abs(exact))
        assert error.max() < 2 * limit


@pytest.mark.parametrize("d", [1, 2, 10, 100])
@pytest.mark.parametrize("shape", [0.1, 0.5, 1.5])
def test_radii_of_normal_noise_have_the_tail_index(d, shape):
    """log P(R > r) falls by 1/xi times log r, where the noise's radius is once in 1e8 to 1e30."""
    log_survival = np.log([1e-8, 1e-30])
    radius = stats.chi(d).isf(np.exp(log_survival))
    z = np.zeros((2, d))
    z[:, 0] = radius
    with jax.enable_x64(True):
        x, _ = bound(RadialTail(), params(shape)).decode(jnp.asarray(z))
    growth = np.diff(np.log(np.linalg.norm(x, axis=1)))
    assert growth / -np.diff(log_survival) == pytest.approx(shape, rel=0.06)


def test_a_small_index_leaves_the_noise_nearly_as_it_is():
    z = np.random.default_rng(0).normal(size=(200, 10))
    with jax.enable_x64(True):
        x, log_det = bound(RadialTail(), params(1e-3)).decode(jnp.asarray(z))
    np.testing.assert_allclose(x, SCALE * z, rtol=0.02)
    np.testing.assert_allclose(log_det, 10 * np.log(SCALE), atol=0.1)


def test_gradients_are_those_of_finite_differences():
    random = np.random.default_rng(1)
    x = random.normal(size=(6, 3)) * np.array([[1e-3], [0.1], [1], [3], [1e3], [1e12]])
    direction = random.normal(size=x.shape)
    with jax.enable_x64(True):
        def total(params, x):
            z, log_det = bound(RadialTail(), params).encode(x)
            return ((jnp.asarray(direction) * z).sum() + log_det.sum())

        given = params(0.4)
        of_params, of_x = jax.grad(total, argnums=(0, 1))(given, jnp.asarray(x))
        for name, found in of_params.items():
            higher, lower = ({**given, name: given[name] + sign * 1e-5} for sign in (1, -1))
            expected = (total(higher, jnp.asarray(x)) - total(lower, jnp.asarray(x))) / 2e-5
            assert float(found[0]) == pytest.approx(float(expected), rel=1e-6)
        for row, column in np.ndindex(x.shape):
            step, unit = np.zeros_like(x), np.linalg.norm(x[row])
            step[row, column] = 1e-5 * unit
            expected = (total(given, jnp.asarray(x + step))
                        - total(given, jnp.asarray(x - step))) / 2e-5
            assert float(of_x[row, column]) * unit == pytest.approx(float(expected), abs=1e-7)


def test_zero_and_the_farthest_rows_are_finite():
    rows = jnp.asarray([[0.0, 0.0], [1e-30, 0.0], [1e30, -1e30], [1e37, 1e37]], jnp.float32)
    module = bound(RadialTail(), params(0.5, "float32"))

    def total(rows):
        z, log_det = module.encode(rows)
        return (z.sum() + log_det.sum()), (z, log_det)

    gradient, (z, log_det) = jax.grad(total, has_aux=True)(rows)
    for values in (gradient, z, log_det):
        assert np.isfinite(values).all()
    back, _ = module.decode(z[2:3])
    np.testing.assert_allclose(back, rows[2:3], rtol=1e-3)
    x, log_det = module.decode(jnp.asarray([[0.0, 40.0], [0.0, 0.0]], jnp.float32))
    assert np.isfinite(x).all()
    assert np.isfinite(log_det).all()
    assert float(x[0, 1]) > 1e33
