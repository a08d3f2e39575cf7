"""Shell and maximum samplers: their radii against exact laws, their directions, their arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from flowaa import extremes
from flowaa.errors import UserError
from flowaa.extremes.sampling import uniform_open

KEY = jax.random.key(7)


def radius(z):
    return np.linalg.norm(np.asarray(z, np.float64), axis=1)


def log_cdf_of_maximum(x, d, n):
    """ln of chi_d's distribution function to the power n, in double precision."""
    return n * np.log1p(-special.gammaincc(d / 2, np.asarray(x, np.float64) ** 2 / 2))


def assert_follows(sample, cdf):
    assert stats.kstest(np.asarray(sample, np.float64), cdf).pvalue > 1e-3


@pytest.mark.parametrize("d", [1, 3072])
def test_thin_shells_have_their_radius(d):
    for given, expected in (({"radius": 2.5}, 2.5),
                            ({"quantile": 0.99}, stats.chi(d).ppf(0.99)),
                            ({"quantile": 1 - 1e-12}, stats.chi(d).isf(1e-12)),
                            ({"extremeness": 1e6}, stats.chi(d).isf(1e-6))):
        z = extremes.sample_shell(KEY, 50, d, **given)
        assert z.shape == (50, d)
        assert z.dtype == jnp.float32
        np.testing.assert_allclose(radius(z), expected, rtol=2e-6)


def test_a_shell_a_row():
    wanted = np.float32([1, 2, 3])
    np.testing.assert_allclose(radius(extremes.sample_shell(KEY, 3, 9, radius=wanted)), wanted,
                               rtol=1e-6)
    levels = stats.chi(9).ppf([0.1, 0.5, 0.9])
    by_quantile = extremes.sample_shell(KEY, 3, 9, quantile=np.float32([0.1, 0.5, 0.9]))
    np.testing.assert_allclose(radius(by_quantile), levels, rtol=1e-5)


def test_share_of_model_draws_below_a_shell():
    d, q, n = 20, 0.9, 100_000
    shell = radius(extremes.sample_shell(KEY, 1, d, quantile=q))[0]
    below = np.mean(radius(jax.random.normal(jax.random.key(1), (n, d))) < shell)
    assert abs(below - q) <= 3 * np.sqrt(q * (1 - q) / n)


@pytest.mark.parametrize(("d", "given", "beyond"), [
    (3072, {"quantile": 0.99}, 1e-2), (3, {"quantile": 0.2}, 0.8), (3, {"radius": 3.0}, None),
    (3072, {"extremeness": 1e9}, 1e-9), (3072, {"extremeness": 1}, 1.0)])
def test_tail_draws_follow_the_truncated_law(d, given, beyond):
    sample = radius(extremes.sample_shell(KEY, 4000, d, tail=True, **given))
    beyond = stats.chi(d).sf(given["radius"]) if beyond is None else beyond
    assert_follows(sample, lambda x: 1 - special.gammaincc(d / 2, x**2 / 2) / beyond)


def test_sigma_scales_the_chi_law():
    assert_follows(radius(extremes.sample_shell(KEY, 4000, 300, sigma=1.3)),
                   stats.chi(300, scale=1.3).cdf)


def test_directions_are_uniform():
    z = np.asarray(extremes.sample_shell(KEY, 4000, 3, radius=2.0))
    for axis in range(3):  # Archimedes: every coordinate on a sphere in space is uniform
        assert_follows(z[:, axis], stats.uniform(-2, 4).cdf)
    assert abs(np.mean(z[:, 0] * z[:, 1])) < 0.08
    signs = np.asarray(extremes.sample_shell(KEY, 10_000, 1, radius=1.0))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.04


@pytest.mark.parametrize(("d", "n"), [(3, 1), (3, 10), (3072, 1e4), (3072, 1e12)])
def test_furthest_of_n_has_the_exact_law(d, n):
    sample = radius(extremes.sample_gumbel(KEY, 4000, d, extremeness=n))
    assert_follows(sample, lambda x: np.exp(log_cdf_of_maximum(x, d, n)))


def test_furthest_by_the_gumbel_law():
    law = extremes.gumbel_of_radius(100, 1e5)
    sample = radius(extremes.sample_gumbel(KEY, 4000, 100, extremeness=1e5, law="gumbel"))
    assert_follows(sample, stats.gumbel_r(float(law.loc), float(law.scale)).cdf)
    # At one dimension and two draws the limit reaches below zero.
    assert np.all(np.isfinite(extremes.sample_gumbel(KEY, 4000, 1, extremeness=2, law="gumbel")))


def test_uniform_draws_resolve_the_far_tail():
    """float32's usual draws are multiples of 2⁻²³, zero among them: a tail ends at 1e-7."""
    u = np.asarray(uniform_open(KEY, (2_000_000,)), np.float64)
    assert 0 < u.min() < 2e-6
    assert u.max() < 1
    assert_follows(u[:100_000], stats.uniform.cdf)
    small = u[u < 1e-4] * 2**23
    assert 140 < len(small) < 260
    assert np.mean(small % 1 == 0) < 0.05
    assert_follows(small % 1, stats.uniform.cdf)


def test_class_conditional_draws_are_the_same_in_the_classes_coordinates():
    labels = np.random.default_rng(0).integers(2, size=4000)
    means, scales = np.float32([[0, 5, 9], [-3, 0, 1]]), np.float32([[1, 2, 3], [0.1, 0.2, 0.3]])
    mean, scale = means[labels], scales[labels]
    for sampler in (functools.partial(extremes.sample_shell, d=3, quantile=0.999, tail=True),
                    functools.partial(extremes.sample_gumbel, d=3, extremeness=1e4)):
        placed = sampler(KEY, 4000, mean=mean, scale=scale)
        np.testing.assert_allclose((placed - mean) / scale, sampler(KEY, 4000), atol=1e-3)
    with pytest.raises(UserError, match="mean has the shape"):
        extremes.sample_shell(KEY, 4000, 3, radius=1.0, mean=means)


def test_samplers_are_compiled_pure_functions():
    sampler = functools.partial(extremes.sample_shell, n=4000, d=3, quantile=0.9, tail=True)
    once = sampler(KEY)
    np.testing.assert_array_equal(once, sampler(KEY))
    assert not np.any(once == sampler(jax.random.key(8)))
    draw = lambda key, n: extremes.sample_gumbel(key, 40, 3, extremeness=n)  # noqa: E731
    keys = jax.random.split(KEY, 2)
    stacked = jax.jit(jax.vmap(draw))(keys, jnp.asarray([10.0, 1e5]))
    for i, n in enumerate((10.0, 1e5)):
        np.testing.assert_allclose(stacked[i], draw(keys[i], n), rtol=1e-5)


@pytest.mark.parametrize("sampler", [
    lambda key, v: extremes.sample_shell(key, 4, 3, radius=2, tail=True, mean=v, scale=2.0),
    lambda key, v: extremes.sample_shell(key, 4, 3, sigma=jnp.full(4, 2)),
    lambda key, v: extremes.sample_gumbel(key, 4, 3, extremeness=10, mean=v, law="gumbel"),
])
def test_samplers_promote_nothing_silently(sampler):
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        shape = jax.eval_shape(sampler, KEY, jnp.ones(3))
    assert shape.shape == (4, 3)
    assert shape.dtype == jnp.float32


def test_radius_can_be_differentiated():
    """The dial has a gradient: dr/d ln n = 1/hazard."""
    norm = lambda n: jnp.linalg.norm(extremes.sample_shell(KEY, 1, 30, extremeness=n))  # noqa: E731
    level = stats.chi(30).isf(1e-4)
    exact = stats.chi(30).sf(level) / stats.chi(30).pdf(level)
    assert float(jax.grad(norm)(1e4)) * 1e4 == pytest.approx(exact, rel=1e-4)


def test_stream_holds_one_batch_and_repeats_itself():
    sizes = []

    def sampler(key, n):
        sizes.append(n)
        return extremes.sample_shell(key, n, 7, quantile=0.99)

    batches = list(extremes.stream(KEY, 10, sampler, batch_size=4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sizes == [4, 4, 4]  # one shape, one compilation
    third = sampler(jax.random.fold_in(KEY, 2), 4)
    np.testing.assert_array_equal(batches[2], third[:2])
    assert len(np.unique(np.concatenate(batches)[:, 0])) == 10


@pytest.mark.parametrize(("given", "said"), [
    ({}, "exactly one of radius, quantile, sigma, extremeness; given: none"),
    ({"radius": 1.0, "sigma": 1.0}, "given: radius and sigma"),
    ({"radius": 0.0}, "radius is 0.0"),
    ({"radius": np.inf}, "radius is inf"),
    ({"sigma": -1.0}, "sigma is -1.0"),
    ({"sigma": 1.0, "tail": True}, "sigma has no tail"),
    ({"quantile": 0.0}, "quantile is 0.0"),
    ({"quantile": 1.0}, "quantile is 1.0"),
    ({"quantile": np.nan}, "quantile is nan"),
    ({"quantile": 1.5}, "strictly between 0 and 1"),
    ({"extremeness": 0.5}, "at least 1"),
])
def test_wrong_shells(given, said):
    with pytest.raises(UserError, match=said) as error:
        extremes.sample_shell(KEY, 3, 2, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("n", [np.int64(10**12), np.array(10**12), np.array([10**12, 10**12]),
                               np.float32(1e12), [10**12, 10**12]])
def test_a_dial_is_read_in_double_precision_whatever_holds_it(n):
    """An int32 cannot hold 1e12, and float32 not 1e50: NaN and infinity in the first version."""
    wanted = stats.chi(5).isf(1e-12)
    for z in (extremes.sample_shell(KEY, 2, 5, extremeness=n),
              extremes.sample_shell(KEY, 2, 5, quantile=1 - 1 / np.asarray(n, np.float64))):
        np.testing.assert_allclose(radius(z), wanted, rtol=2e-5)
    np.testing.assert_array_equal(
        extremes.sample_gumbel(KEY, 2, 5, extremeness=n),
        extremes.sample_gumbel(KEY, 2, 5, extremeness=float(np.ravel(n)[0])))
    np.testing.assert_allclose(extremes.chi_return_level(n, 5), wanted, rtol=1e-6)
    np.testing.assert_allclose(extremes.gumbel_of_radius(5, n).loc, wanted, rtol=1e-6)
    np.testing.assert_allclose(
        extremes.gauge_return_level(n, np.zeros(2), np.ones(2)), stats.norm.isf(5e-13), rtol=1e-5)


@pytest.mark.parametrize("n", [1e50, np.array([1e50, 1e50]), np.float64(1e50), 10**50])
def test_return_periods_beyond_float32(n):
    wanted = np.sqrt(stats.chi2.isf(1e-50, 3))
    np.testing.assert_allclose(
        radius(extremes.sample_shell(KEY, 2, 3, extremeness=n)), wanted, rtol=1e-6)
    np.testing.assert_allclose(extremes.chi_return_level(n, 3), wanted, rtol=1e-6)
    with pytest.raises(UserError, match=r"radius is .*at most 3\.4e"):
        extremes.sample_shell(KEY, 2, 3, radius=n)


@pytest.mark.parametrize("extremeness", [0, -1.0, 0.99, np.inf, np.nan, "far", [10.0, np.inf]])
def test_wrong_extremeness(extremeness):
    for call in (lambda: extremes.sample_gumbel(KEY, 2, 2, extremeness=extremeness),
                 lambda: extremes.sample_shell(KEY, 2, 2, extremeness=extremeness)):
        with pytest.raises(UserError, match="extremeness, the return period") as error:
            call()
        assert "\n" not in str(error.value)


def test_wrong_sizes():
    for n, d, said in ((0, 2, "n, the number of draws"), (2, 0, "d, the number of dimensions"),
                       (2.5, 2, "n, the number of draws")):
        for call in (lambda n, d: extremes.sample_shell(KEY, n, d, radius=1.0),
                     lambda n, d: extremes.sample_gumbel(KEY, n, d, extremeness=10)):
            with pytest.raises(UserError, match=said):
                call(n, d)
    with pytest.raises(UserError, match="law 'weibull'"):
        extremes.sample_gumbel(KEY, 2, 2, extremeness=10, law="weibull")
    with pytest.raises(UserError, match="batch_size"):
        extremes.stream(KEY, 2, lambda key, n: None, batch_size=0)
