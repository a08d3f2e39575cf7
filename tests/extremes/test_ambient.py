"""Baselines in data space."""

import jax
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
