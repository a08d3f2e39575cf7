"""The spline law against distrax's, which was written by others."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowaa.bijectors import spline
from flowaa.bijectors.spline import Spline

BOUND = 4.0


def _case(n_bins: int, scale: float = 1.5) -> tuple[Spline, jax.Array, jax.Array]:
    x_key, theta_key = jax.random.split(jax.random.key(n_bins))
    x = 2.5 * jax.random.normal(x_key, (50, 3))
    theta = scale * jax.random.normal(theta_key, (50, 3 * (3 * n_bins + 1)))
    return Spline(n_bins, BOUND), x, theta


def _oracle(theta: jax.Array, n_bins: int) -> distrax.RationalQuadraticSpline:
    return distrax.RationalQuadraticSpline(
        theta.reshape(50, 3, 3 * n_bins + 1), -BOUND, BOUND, boundary_slopes="identity",
        min_bin_size=0.02 * BOUND, min_knot_slope=0.01)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere nothing is done in parts")
def test_part_by_part_it_is_the_same_spline(monkeypatch):
    with jax.enable_x64(True):
        _check_parts(monkeypatch)


def _check_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    law, x, theta = _case(6)
    weights = jax.random.normal(jax.random.key(9), x.shape)

    def outcome() -> list:
        def total(x, theta):
            y, log_det = law.forward(x, theta)
            back, log_det_back = law.inverse(0.5 * y, theta)
            return (weights * (y + back)).sum() + (log_det - 3 * log_det_back).sum()

        return [law.forward(x, theta), law.inverse(x, theta),
                jax.grad(total, argnums=(0, 1))(x, theta)]

    whole = outcome()
    monkeypatch.setattr(spline, "_PART_VALUES", 30 * law.n_parameters)
    assert "scan" in str(jax.make_jaxpr(law.forward)(x, theta))  # five parts of thirty
    for a, b in zip(jax.tree.leaves(outcome()), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("n", "most", "size"), [
    (100, 100, 100), (150, 30, 30), (150, 40, 30), (151, 30, 151), (2 * 151, 100, 302)])
def test_parts_divide_and_are_not_many(n, most, size):
    assert spline._part_size(n, most) == size


@pytest.mark.parametrize("n_bins", [1, 2, 6, 8])
def test_values_slopes_and_gradients_are_those_of_distrax(n_bins):
    with jax.enable_x64(True):
        law, x, theta = _case(n_bins)
        x, theta = x.astype(jnp.float64), theta.astype(jnp.float64)
        oracle = _oracle(theta, n_bins)
        y, log_det = law.forward(x, theta)
        np.testing.assert_allclose(y, oracle.forward(x), atol=1e-10)
        np.testing.assert_allclose(log_det, oracle.forward_log_det_jacobian(x).sum(1), atol=1e-10)
        back, log_det = law.inverse(x, theta)
        np.testing.assert_allclose(back, oracle.inverse(x), atol=1e-9)
        np.testing.assert_allclose(log_det, oracle.inverse_log_det_jacobian(x).sum(1), atol=1e-8)

        def ours(x, theta):
            y, log_det = law.forward(x, theta)
            return (y ** 2).sum() + log_det.sum()

        def theirs(x, theta):
            y, log_det = _oracle(theta, n_bins).forward_and_log_det(x)
            return (y ** 2).sum() + log_det.sum()

        for got, wanted in zip(jax.grad(ours, (0, 1))(x, theta),
                               jax.grad(theirs, (0, 1))(x, theta), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-8)


def test_float32_values_come_back_as_well_as_their_slopes_allow():
    law = Spline(8, BOUND)
    x_key, theta_key = jax.random.split(jax.random.key(0))
    x = 2.0 * jax.random.normal(x_key, (20_000, 1))
    theta = 3.0 * jax.random.normal(theta_key, (20_000, law.n_parameters))
    y, log_det = law.forward(x, theta)
    back, back_log_det = law.inverse(y, theta)
    # A slope of 1/100 turns a rounding of y into a hundred of x.
    np.testing.assert_allclose((back - x)[:, 0] * jnp.exp(log_det), 0.0, atol=8e-6)
    # At a bin's end the slope of the bin beside it may be meant.
    assert np.quantile(np.abs(log_det + back_log_det), 0.999) < 5e-3


def test_beyond_the_bound_it_is_the_identity_with_finite_gradients():
    law, _, theta = _case(6)
    x = jnp.array([[4.0, -4.0, 3e38]] * 50)
    y, log_det = law.forward(x, theta)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(log_det, 0.0)
    np.testing.assert_array_equal(law.inverse(x, theta)[0], x)
    for map_ in (law.forward, law.inverse):
        gradient = jax.grad(lambda t, map_=map_: map_(x, t)[1].sum())(theta)
        assert jnp.isfinite(gradient).all()
