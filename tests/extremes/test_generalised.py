"""The generalised laws in float32 against mpmath, with ξ through 0, and their gradients."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from flowaa import extremes
from flowaa.errors import UserError

SHAPES = np.float32([-0.5, -0.1, -1e-3, -1e-8, 0, 1e-8, 1e-3, 0.1, 0.24, 0.26, 1, 2])
LAWS = {"pareto": extremes.GeneralisedPareto, "extreme": extremes.GeneralisedExtremeValue}


def exact(kind, z, shape, scale):
    """log density, cdf and survival, as mpmath numbers of the float32 arguments."""
    z, shape, scale = mp.mpf(float(z)) / mp.mpf(float(scale)), mp.mpf(float(shape)), mp.mpf(
        float(scale))
    y = z if shape == 0 else mp.log(1 + shape * z) / shape
    if kind == "pareto":
        return -(1 + shape) * y - mp.log(scale), 1 - mp.exp(-y), mp.exp(-y)
    cdf = mp.exp(-mp.exp(-y))
    return -(1 + shape) * y - mp.exp(-y) - mp.log(scale), cdf, 1 - cdf


def relative(value, wanted):
    return float(abs(mp.mpf(float(value)) - wanted) / max(abs(wanted), mp.mpf("1e-30")))


@pytest.mark.parametrize("kind", LAWS)
def test_law_and_quantile_against_mpmath(kind):
    z = np.float32([1e-3, 0.1, 0.5, 1, 1.7])
    x, shape = (grid.ravel() for grid in np.meshgrid(z, SHAPES))
    law = LAWS[kind](0.0, 1.25, shape)
    got = [np.asarray(f(x)) for f in (law.log_prob, law.cdf, law.survival_function)]
    assert got[0].dtype == np.float32
    with mp.workdps(50):
        for i in range(len(x)):
            wanted = exact(kind, x[i], shape[i], np.float32(1.25))
            assert all(relative(g[i], w) < 1e-5 for g, w in zip(got, wanted, strict=True))
        for q in (1e-6, 0.3, 0.9, 1 - 1e-9):
            values = np.asarray(law.quantile(q), float)
            reduced = -mp.log(1 - mp.mpf(q)) if kind == "pareto" else -mp.log(-mp.log(mp.mpf(q)))
            for value, xi in zip(values, shape, strict=True):
                xi = mp.mpf(float(xi))
                wanted = mp.mpf("1.25") * (reduced if xi == 0 else mp.expm1(xi * reduced) / xi)
                assert relative(value, wanted) < 1e-5


@pytest.mark.parametrize("kind", LAWS)
def test_gradients_against_mpmath(kind):
    """Of the log density by value, scale and shape, also where ξ is 0."""
    def log_prob(x, scale, shape):
        return LAWS[kind](jnp.zeros(()), scale, shape).log_prob(x)

    gradient = jax.jit(jax.vmap(jax.grad(log_prob, (0, 1, 2)), (0, None, 0)))
    x, shape = (grid.ravel() for grid in np.meshgrid(np.float32([0.1, 0.7, 1.7]), SHAPES))
    got = np.stack(gradient(x, jnp.float32(1.25), shape), 1)
    with mp.workdps(60):
        step = mp.mpf("1e-20")
        for i in range(len(x)):
            at = [mp.mpf(float(v)) for v in (x[i], 1.25, shape[i])]

            def f(x, scale, shape):
                z = x / scale
                y = z - shape * z**2 / 2 if abs(shape) < 1e-15 else mp.log(1 + shape * z) / shape
                tail = mp.exp(-y) if kind == "extreme" else 0
                return -(1 + shape) * y - tail - mp.log(scale)

            for j in range(3):
                up, down = list(at), list(at)
                up[j] += step
                down[j] -= step
                wanted = (f(*up) - f(*down)) / (2 * step)
                assert abs(got[i, j] - float(wanted)) <= 1e-5 * max(abs(float(wanted)), 0.3)


@pytest.mark.parametrize(("kind", "peer"), [("pareto", lambda xi: stats.genpareto(xi)),
                                            ("extreme", lambda xi: stats.genextreme(-xi))])
@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.5])
def test_draws_and_ends(kind, peer, shape):
    law = LAWS[kind](0.0, 1.0, shape)
    draws = np.asarray(law.sample(seed=jax.random.key(0), sample_shape=(4000,)), float)
    assert stats.kstest(draws, peer(shape).cdf).pvalue > 1e-3
    outside = np.float32([-9, 9])
    np.testing.assert_allclose(law.log_prob(outside), peer(shape).logpdf(outside), rtol=1e-4)
    np.testing.assert_allclose(law.cdf(outside), peer(shape).cdf(outside), rtol=1e-4, atol=1e-30)
    with pytest.raises(UserError, match="scale is 0"):
        LAWS[kind](0.0, 0.0, shape)
