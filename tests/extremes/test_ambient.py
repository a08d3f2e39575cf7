"""Baselines in data space, and the rejection of draws that fall back among the inliers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from flowaa import extremes
from flowaa.errors import UserError

KEY = jax.random.key(5)


def test_box_is_uniform_between_its_bounds():
    low, high = np.float32([[-1, 0], [5, 2]]), np.float32([[1, 10], [6, 2.5]])
    x = np.asarray(extremes.sample_box(KEY, 4000, low, high))
    assert x.shape == (4000, 2, 2)
    for i in range(2):
        for j in range(2):
            law = stats.uniform(low[i, j], high[i, j] - low[i, j])
            assert stats.kstest(x[:, i, j], law.cdf).pvalue > 1e-3
    with pytest.raises(UserError, match="bounds"):
        extremes.sample_box(KEY, 3, low, high[0])


def test_noise_has_its_deviation():
    x = np.ones((3000, 2, 2), np.float32)
    noise = np.asarray(extremes.add_noise(KEY, x, 0.2)) - x
    assert stats.kstest(noise.ravel(), stats.norm(scale=0.2).cdf).pvalue > 1e-3
    with pytest.raises(UserError, match="deviation is 0"):
        extremes.add_noise(KEY, x, 0)


def test_permuted_features_keep_their_values_and_lose_their_company():
    base = np.arange(2000, dtype=np.float32)
    x = np.stack([base, base], 1)
    shuffled = np.asarray(extremes.permute_features(KEY, x))
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), x)
    assert abs(np.corrcoef(shuffled.T)[0, 1]) < 0.1


def test_mix_ups_lie_between_two_different_rows():
    x = np.eye(6, dtype=np.float32).reshape(6, 2, 3)
    many = jax.jit(jax.vmap(lambda key: extremes.mix_up(key, x)))(jax.random.split(KEY, 300))
    blended = np.asarray(many).reshape(1800, 6)
    assert np.all((blended > 0).sum(1) == 2)
    np.testing.assert_allclose(blended.sum(1), 1, atol=1e-6)
    own = blended[np.arange(1800), np.tile(np.arange(6), 300)]
    assert stats.kstest(own, "uniform").pvalue > 1e-3
    even = np.asarray(extremes.mix_up(KEY, x, concentration=1e4)).reshape(6, 6)
    np.testing.assert_allclose(even.max(1), 0.5, atol=0.05)
    with pytest.raises(UserError, match="two rows"):
        extremes.mix_up(KEY, x[:1])
    with pytest.raises(UserError, match="concentration"):
        extremes.mix_up(KEY, x, concentration=0)


def log_density(z):
    return -jnp.sum(z**2, axis=1) / 2


def test_rejection_keeps_only_improbable_draws_and_their_law():
    inliers = jax.random.normal(jax.random.key(0), (20_000, 2))
    kept = jax.jit(lambda key: extremes.reject_inliers(
        key, lambda key: 2 * jax.random.normal(key, (5000, 2)), log_density, log_density(inliers),
        quantile=0.05, max_tries=40))(KEY)
    assert np.all(kept.accepted)
    np.testing.assert_allclose(kept.log_density, log_density(kept.z), rtol=1e-6)
    threshold = np.quantile(log_density(inliers), 0.05)
    assert np.all(kept.log_density < threshold)
    # Squared radii of the draws are exponential: beyond a level, that level plus the same law.
    beyond = -2 * np.asarray(kept.log_density) + 2 * threshold
    assert stats.kstest(beyond, stats.expon(scale=8).cdf).pvalue > 1e-3


def test_rejection_says_which_draws_it_accepts():
    inlier_density = np.linspace(-4, 0, 101, dtype=np.float32)
    once = extremes.reject_inliers(
        KEY, lambda key: 2 * jax.random.normal(key, (500, 2)), log_density, inlier_density,
        quantile=0.25, max_tries=1)
    np.testing.assert_array_equal(once.accepted, log_density(once.z) < -3)
    assert 0.3 < np.mean(once.accepted) < 0.6  # exp(-3/4) of them


def test_rejection_gives_up_after_its_tries_and_says_so():
    tries = []

    def sampler(key):
        jax.debug.callback(lambda: tries.append(1))
        return jax.random.uniform(key, (50, 1)) * 0.1

    result = extremes.reject_inliers(KEY, sampler, log_density, np.float32([-5, -4]),
                                     quantile=0.5, max_tries=3)
    jax.effects_barrier()
    assert len(tries) == 3
    assert not np.any(result.accepted)
    # What it keeps is the least probable of the three tries.
    draws = [jax.random.uniform(jax.random.fold_in(KEY, i), (50, 1)) * 0.1 for i in range(3)]
    np.testing.assert_array_equal(result.z, np.max(draws, axis=0))


def test_rejection_of_images_and_wrong_arguments():
    sampler = lambda key: 9 + jax.random.normal(key, (4, 2, 2, 1))  # noqa: E731
    density = lambda z: -jnp.sum(z**2, axis=(1, 2, 3))  # noqa: E731
    result = extremes.reject_inliers(KEY, sampler, density, np.zeros(3, np.float32), quantile=0.01)
    assert result.z.shape == (4, 2, 2, 1)
    assert np.all(result.accepted)
    for quantile, max_tries, said in ((0.0, 9, "quantile"), (0.1, 0, "max_tries")):
        with pytest.raises(UserError, match=said):
            extremes.reject_inliers(KEY, sampler, density, np.zeros(3), quantile=quantile,
                                    max_tries=max_tries)
    with pytest.raises(UserError, match="empty"):
        extremes.reject_inliers(KEY, sampler, density, np.zeros(0), quantile=0.1)
