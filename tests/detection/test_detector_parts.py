"""Networks, losses and calibration of detectors against closed forms and other libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from flowaa.detection import calibration, losses
from flowaa.detection.detector import Detector
from flowaa.detection.networks import ConvNetwork, DenseNetwork, spectral_norm

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_spectral_norm_and_its_gradient(shape):
    matrix = jnp.asarray(RANDOM.normal(size=shape), jnp.float32)
    left, values, right = np.linalg.svd(matrix)
    assert spectral_norm(matrix) == pytest.approx(values[0], rel=1e-5)
    np.testing.assert_allclose(
        jax.grad(spectral_norm)(matrix), np.outer(left[:, 0], right[0]), atol=1e-5)


def test_spectral_norm_of_zeros_has_finite_gradients():
    gradient = jax.grad(lambda w: (w / spectral_norm(w)).sum())(jnp.zeros((3, 4)))
    assert np.isfinite(gradient).all()


def test_spectrally_normed_network_is_a_contraction():
    """Layers of norm one and a leaky ReLU never lengthen a difference."""
    network = DenseNetwork(1, width=16, depth=3, spectral_norm=True)
    x, y = RANDOM.normal(size=(2, 200, 6)).astype(np.float32)
    params = jax.tree.map(lambda leaf: 5 * leaf + 0.1, network.init(jax.random.key(0), x))
    change = np.abs(network.apply(params, x) - network.apply(params, y))[:, 0]
    distance = np.linalg.norm(x - y, axis=1)
    assert (change <= distance * (1 + 1e-4)).all()
    free = DenseNetwork(1, width=16, depth=3)
    assert (np.abs(free.apply(params, x) - free.apply(params, y))[:, 0] > distance).any()


def test_conv_network_sees_no_neighbours_in_the_batch():
    network = ConvNetwork(2, width=4, depth=2)
    x = RANDOM.normal(size=(3, 8, 8, 1)).astype(np.float32)
    params = network.init(jax.random.key(0), x)
    np.testing.assert_allclose(network.apply(params, x)[1:2], network.apply(params, x[1:2]),
                               atol=1e-5)


def test_binary_losses_are_the_log_loss():
    logits = RANDOM.normal(size=20) * 3
    labels = np.repeat([0, 1], 10)
    ours = np.concatenate([losses.inlier_loss(logits[:10]), losses.outlier_loss(logits[10:])])
    assert ours.mean() == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))), rel=1e-5)


def test_confidence_loss_is_the_divergence_from_uniform():
    logits = RANDOM.normal(size=(7, 4))
    expected = [entropy(np.full(4, 0.25), p) for p in softmax(logits, axis=1)]
    np.testing.assert_allclose(losses.confidence_loss(jnp.asarray(logits)), expected, rtol=1e-4)
    np.testing.assert_allclose(losses.confidence_loss(jnp.full((1, 4), 3.0)), 0, atol=1e-6)


def test_what_counts_nothing_changes_nothing():
    values, weight = jnp.array([1.0, 2.0, 50.0]), jnp.array([1.0, 1.0, 0.0])
    assert losses.weighted_mean(values, weight) == pytest.approx(1.5)
    assert losses.weighted_mean(values, jnp.zeros(3)) == 0


@pytest.mark.parametrize("n_classes", [0, 3])
def test_temperature_is_found_again(n_classes):
    temperature = 2.5
    logits = RANDOM.normal(size=(20_000, n_classes or 2)) * 2
    probabilities = softmax(logits, axis=1)
    labels = (RANDOM.random((len(logits), 1)) > probabilities.cumsum(1)).sum(1)
    stated = temperature * (logits if n_classes else logits[:, 1] - logits[:, 0])
    assert calibration.fit_temperature(stated, labels) == pytest.approx(temperature, rel=0.05)
    before = calibration.reliability(stated, labels)
    after = calibration.reliability(stated / temperature, labels)
    assert after.error < 0.02 < before.error


def test_odds_of_being_an_outlier():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1]]))
    network = DenseNetwork(3)
    rejecting = Detector(network, (0.0,), (1.0,), n_classes=2, rejects=True)
    assert rejecting.outlier_logit(logits)[0] == pytest.approx(np.log(0.1 / 0.9), rel=1e-5)
    np.testing.assert_allclose(
        np.exp(rejecting.class_log_probs(logits)), [[0.7 / 0.9, 0.2 / 0.9]], rtol=1e-5)
    doubting = Detector(network, (0.0,), (1.0,), n_classes=3)
    assert doubting.outlier_logit(logits)[0] == pytest.approx(np.log(0.3 / 0.7), rel=1e-5)
