"""The tail transform against mpmath, SciPy's generalised Pareto law and finite differences."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import special, stats

from flowaa.bijectors import half_normal
from flowaa.bijectors.base import bound
from flowaa.bijectors.tail_transform import TailTransform

LOCATION, SCALE, LOWER, UPPER = 0.3, 0.7, 0.25, 1.5
DISTANCES = np.concatenate([np.geomspace(1e-6, 1, 40), np.linspace(1, 14, 60),
                            np.geomspace(14, 1e3, 20)])


def params(dtype: str) -> dict[str, jax.Array]:
    logs = np.log([SCALE, LOWER, UPPER])
    values = dict(zip(("location", "log_scale", "log_lower_shape", "log_upper_shape"),
                      (LOCATION, *logs), strict=True))
    return {name: jnp.full(1, value, dtype) for name, value in values.items()}


def mapped(method: str, values: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Values [n] and log_det [n] of rows of one feature."""
    transform = bound(TailTransform(), params(dtype))
    found, log_det = getattr(transform, method)(jnp.asarray(values, dtype)[:, None])
    return np.asarray(found, np.float64)[:, 0], np.asarray(log_det, np.float64)


def exactly(x: float, dtype: str) -> tuple[float, float]:
    """z and log|dz/dx| by mpmath, with the parameters as they are rounded to the dtype."""
    location, log_scale, log_lower, log_upper = (
        mpmath.mpf(float(value[0])) for value in params(dtype).values())
    away = (mpmath.mpf(x) - location) / mpmath.exp(log_scale)
    shape = mpmath.exp(log_lower if away < 0 else log_upper)
    log_survival = -mpmath.log1p(shape * abs(away)) / shape
    start = float(-special.ndtri_exp(float(log_survival) - np.log(2)))
    z = mpmath.findroot(lambda z: mpmath.log(mpmath.erfc(z / mpmath.sqrt(2))) - log_survival,
                        start)
    log_hazard = mpmath.log(mpmath.sqrt(2 / mpmath.pi)) - z**2 / 2 - log_survival
    return float(mpmath.sign(away) * z), float(
        -(log_scale - shape * log_survival + log_hazard))


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-6), ("float64", 1e-12)])
def test_hazards_have_the_digits_that_the_docstring_says(dtype, bound):
    with jax.enable_x64(dtype == "float64"), mpmath.workdps(40):
        z = DISTANCES.astype(dtype)
        exact_z = [mpmath.mpf(float(value)) / mpmath.sqrt(2) for value in z]
        total = [-mpmath.log(mpmath.erfc(value)) for value in exact_z]
        slope = [mpmath.sqrt(2 / mpmath.pi) * mpmath.exp(-value**2) / mpmath.erfc(value)
                 for value in exact_z]
        assert relative(half_normal.cumulative_hazard(z), total) < bound
        assert relative(half_normal.hazard(z), slope) < bound
        found = half_normal.inverse_cumulative_hazard(jnp.asarray(total, dtype))
        assert relative(found, z) < bound


def relative(found, exact) -> float:
    exact = np.asarray([float(value) for value in exact])
    return float(np.max(np.abs(np.asarray(found, np.float64) / exact - 1)))


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 1e-6), ("float64", 1e-12)])
def test_encoded_values_have_the_digits_that_the_docstring_says(dtype, limit):
    away = np.geomspace(1e-3, 1e30, 60)
    with jax.enable_x64(dtype == "float64"), mpmath.workdps(60):
        x = np.concatenate([-away, away]).astype(dtype)
        z, log_det = mapped("encode", x, dtype)
        exact_z, exact_log_det = np.transpose([exactly(float(value), dtype) for value in x])
    # Near the location a digit of x is not one of x - location.
    assert np.max(np.abs(z - exact_z) / (np.abs(exact_z) + 0.1)) < limit
    assert np.max(np.abs(log_det - exact_log_det) / (1 + np.abs(exact_log_det))) < limit


def test_normal_tails_become_generalised_pareto_ones():
    z = np.linspace(0.1, 6, 20)
    with jax.enable_x64(True):
        upper, lower = mapped("decode", z, "float64")[0], mapped("decode", -z, "float64")[0]
    survival = special.erfc(z / np.sqrt(2))
    for away, shape in ((upper - LOCATION, UPPER), (LOCATION - lower, LOWER)):
        np.testing.assert_allclose(
            away, stats.genpareto.isf(survival, shape, scale=SCALE), rtol=1e-9)


@pytest.mark.parametrize("method", ["encode", "decode"])
def test_gradients_are_those_of_finite_differences(method):
    at = np.array([-9.0, -3.1, -1.0, -0.2, 0.29, 0.4, 1.0, 2.9, 3.1, 8.0])
    if method == "encode":
        at = np.concatenate([at, [-1e12, 1e12]])
    with jax.enable_x64(True):
        def total(params, at):
            found, log_det = getattr(bound(TailTransform(), params), method)(at[:, None])
            return (jnp.log1p(jnp.abs(found)) + 0.3 * log_det[:, None]).sum()

        given = params("float64")
        gradients = jax.grad(total, argnums=(0, 1))(given, jnp.asarray(at))
        for name, found in gradients[0].items():
            step = 1e-5 * jnp.eye(1)[0]
            higher, lower = ({**given, name: given[name] + sign * step} for sign in (1, -1))
            expected = (total(higher, jnp.asarray(at)) - total(lower, jnp.asarray(at))) / 2e-5
            assert float(found[0]) == pytest.approx(float(expected), rel=1e-6)
        for index, value in enumerate(at):
            step = 1e-6 * max(abs(value), 0.1)
            expected = (total(given, jnp.asarray([value + step]))
                        - total(given, jnp.asarray([value - step]))) / (2 * step)
            assert float(gradients[1][index]) == pytest.approx(float(expected), rel=1e-6)


def test_the_derivative_at_the_location_is_that_beside_it():
    """`jnp.abs` has none at 0; a median may be a value of the rows."""
    def z_of(x):
        return bound(TailTransform(), params("float32")).encode(x[None, None])[0][0, 0]

    at, beside = (float(jax.grad(z_of)(jnp.float32(LOCATION + away))) for away in (0.0, 1e-4))
    assert at == pytest.approx(beside, rel=1e-3)


def test_beyond_the_largest_number_values_stay_finite_and_ordered():
    x, log_det = mapped("decode", np.array([-40.0, 5.0, 30.0]), "float32")
    assert np.isfinite(x).all()
    assert np.isfinite(log_det).all()
    assert -1e37 < x[0] < -1e30
    assert x[1] < x[2]
    assert x[2] > 1e33


@pytest.mark.parametrize("shapes", [((0.5, 0.5),), ((0.1, 1.2), (0.4, 0.4), (2.0, 0.05))])
def test_starts_with_quartiles_at_one_and_the_given_indices(shapes):
    transform = TailTransform(start_shapes=shapes)
    variables = transform.init(jax.random.key(0), jnp.zeros((1, 3)))
    quartile = float(special.ndtri(0.75)) * jnp.ones((1, 3))
    upper, lower = (transform.apply(variables, sign * quartile, method="decode")[0]
                    for sign in (1, -1))
    np.testing.assert_allclose((upper - lower) / 2, np.ones((1, 3)), rtol=1e-5)
    of_start = np.broadcast_to(shapes, (3, 2))
    for name, column in (("lower", 0), ("upper", 1)):
        np.testing.assert_allclose(np.exp(variables["params"][f"log_{name}_shape"]),
                                   of_start[:, column], rtol=1e-5)


def test_only_the_given_columns_change_each_by_its_own_index():
    transform = TailTransform((2, 0), ((1.0, 1.0), (0.2, 0.2)))
    z = jnp.full((1, 3), 4.0)
    variables = transform.init(jax.random.key(0), z)
    x, _ = transform.apply(variables, z, method="decode")
    assert float(x[0, 1]) == 4.0
    for column, shape in ((2, 1.0), (0, 0.2)):
        scale = shape / (2**shape - 1)
        expected = stats.genpareto.isf(special.erfc(4 / np.sqrt(2)), shape, scale=scale)
        assert float(x[0, column]) == pytest.approx(expected, rel=1e-4)
