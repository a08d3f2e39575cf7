"""Networks, losses and calibration of detectors against closed forms and other libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from experiments.toy_truth import true_log_prob
from flowaa.data.sources import toy
from flowaa.detection import calibration, losses
from flowaa.detection.evidence import evidence_scale
from flowaa.detection.model import DetectorModel, FlowEvidence
from flowaa.detection.networks import (
    REACH,
    ConvNetwork,
    DenseNetwork,
    FlowGuided,
    spectral_norm,
)

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
    params = jax.tree.map(lambda leaf: 5 * np.asarray(leaf) + np.float32(0.1),
                          jax.jit(network.init)(jax.random.key(0), x))
    apply = jax.jit(network.apply)
    change = np.abs(apply(params, x) - apply(params, y))[:, 0]
    distance = np.linalg.norm(x - y, axis=1)
    assert (change <= distance * (1 + 1e-4)).all()
    free = jax.jit(DenseNetwork(1, width=16, depth=3).apply)
    assert (np.abs(free(params, x) - free(params, y))[:, 0] > distance).any()


def test_conv_network_sees_no_neighbours_in_the_batch():
    network = ConvNetwork(2, width=4, depth=2)
    x = RANDOM.normal(size=(3, 8, 8, 1)).astype(np.float32)
    params, apply = jax.jit(network.init)(jax.random.key(0), x), jax.jit(network.apply)
    np.testing.assert_allclose(apply(params, x)[1:2], apply(params, x[1:2]), atol=1e-5)


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
    fitted = calibration.fit_temperature(stated, labels)
    assert fitted.value == pytest.approx(temperature, rel=0.05)
    assert fitted.is_identified
    before = calibration.reliability(stated, labels)
    after = calibration.reliability(stated / temperature, labels)
    assert after.error < 0.02 < before.error


def test_temperature_of_separated_scores_is_not_identified():
    """Each smaller temperature fits better: the prior ends that, and the result says so."""
    logits, labels = np.array([-9.0, -7.0, -8.0, 6.0, 9.0, 8.0]), np.array([0, 0, 0, 1, 1, 1])
    fitted = calibration.fit_temperature(logits, labels)
    assert not fitted.is_identified
    assert 0.2 < fitted.value < 2
    few = calibration.fit_temperature(np.array([0.1, -0.2]), np.array([1, 1]))
    assert not few.is_identified


def test_weights_count_like_repeated_rows():
    logits, labels = RANDOM.normal(size=50), RANDOM.integers(0, 2, 50)
    counts = RANDOM.integers(1, 5, 50)
    repeated = np.repeat(logits, counts), np.repeat(labels, counts)
    assert calibration.fit_temperature(logits, labels, counts).value == pytest.approx(
        calibration.fit_temperature(*repeated).value, rel=1e-4)
    one_bin = calibration.reliability(logits, labels, counts, n_bins=1)
    assert one_bin.error == pytest.approx(calibration.reliability(*repeated, n_bins=1).error)


def test_prior_pulls_the_temperature_towards_one():
    """The maximum of likelihood and prior, by a fine grid."""
    logits, labels = np.array([1.0, 2.0, -1.0, 3.0]), np.array([1, 1, 0, 0])
    grid = np.linspace(-4, 4, 80_001)
    nll = np.logaddexp(0, -(2 * labels - 1) * logits / np.exp(grid)[:, None]).sum(1)
    expected = np.exp(grid[(nll + grid**2 / 2).argmin()])
    assert calibration.fit_temperature(logits, labels).value == pytest.approx(expected, rel=1e-3)


def test_evidence_is_increasing_and_finite_whatever_the_flow_says():
    scale = evidence_scale(np.array([[0.0, 1.0], [1.0, 2.0], [1e9, np.inf]]))
    statistics = jnp.array([[-1e30, 0], [0, 1], [1, 2], [1e9, 3], [1e20, 4], [jnp.nan, jnp.inf]])
    scaled = np.asarray(scale(statistics))
    assert np.isfinite(scaled).all()
    assert (np.diff(scaled, axis=0) >= 0).all()
    assert scaled[2, 0] == 0  # the median
    rows = RANDOM.normal(size=(1000, 2)) * [3, 40] + [5, -100]
    ordinary = np.asarray(evidence_scale(rows)(jnp.asarray(np.quantile(rows, [0.5, 0.9], axis=0))))
    np.testing.assert_allclose(ordinary, np.arcsinh([[0, 0], [1, 1]]), atol=1e-3)


def test_a_network_cannot_undo_what_the_flow_is_sure_of():
    """Rows whose evidence differs by more than twice the reach keep their order."""
    network = FlowGuided(DenseNetwork(1, width=8, depth=1))
    x = RANDOM.normal(size=(300, 4)).astype(np.float32)
    evidence = RANDOM.normal(size=(300, 2)).astype(np.float32) * 3
    params = jax.tree.map(lambda leaf: 20 * RANDOM.normal(size=leaf.shape).astype(np.float32),
                          jax.jit(network.init)(jax.random.key(0), x, evidence))
    params["params"]["slope"] = jnp.array(-2.0)  # positive all the same
    logits = np.asarray(jax.jit(network.apply)(params, x, evidence))[:, 0]
    first, second = np.triu_indices(300, 1)
    gap = evidence[first, 0] - evidence[second, 0]
    sure = np.abs(gap) > 2 * REACH
    assert (np.sign(gap) == np.sign(logits[first] - logits[second]))[sure].all()
    assert (np.sign(gap) != np.sign(logits[first] - logits[second]))[~sure].any()


def test_a_guided_class_for_outliers_leaves_the_classes_their_odds():
    network = FlowGuided(DenseNetwork(3, width=8, depth=1))
    x, evidence = RANDOM.normal(size=(5, 4)), RANDOM.normal(size=(5, 2))
    params = jax.jit(network.init)(jax.random.key(0), x, evidence)
    logits = jax.jit(network.apply)(params, x, evidence)
    alone = jax.jit(DenseNetwork(3, width=8, depth=1).apply)(
        {"params": params["params"]["network"]}, x, evidence)
    np.testing.assert_allclose(logits[:, :2], alone[:, :2], rtol=1e-6)
    model = DetectorModel(network, (0.0,), (1.0,), n_classes=2, rejects=True)
    slope = np.log1p(np.exp(1.0))
    np.testing.assert_allclose(model.outlier_logit(logits), slope * (
        evidence[:, 0] + REACH * np.tanh(alone[:, 2])), rtol=1e-4)


def test_odds_of_being_an_outlier():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1]]))
    network = DenseNetwork(3)
    rejecting = DetectorModel(network, (0.0,), (1.0,), n_classes=2, rejects=True)
    assert rejecting.outlier_logit(logits)[0] == pytest.approx(np.log(0.1 / 0.9), rel=1e-5)
    np.testing.assert_allclose(
        np.exp(rejecting.class_log_probs(logits)), [[0.7 / 0.9, 0.2 / 0.9]], rtol=1e-5)
    doubting = DetectorModel(network, (0.0,), (1.0,), n_classes=3)
    assert doubting.outlier_logit(logits)[0] == pytest.approx(np.log(0.3 / 0.7), rel=1e-5)


def test_rows_that_the_flow_has_seen_are_scaled_by_their_own_quantiles():
    """Else the evidence of an overfitted flow would tell training rows from all others."""
    held_out, seen = (evidence_scale(np.array([[0.0, 0], [largest, largest]]))
                      for largest in (100.0, 2.0))
    evidence = FlowEvidence(lambda params, x: params * x, held_out, seen)
    model = DetectorModel(DenseNetwork(1), (0.0, 0.0), (2.0, 2.0), evidence=evidence)
    x = jnp.array([[1.0, 1.0], [50.0, 50.0]])
    standard, scaled = model.inputs({"flow": 1.0}, x, seen=jnp.array([True, False]))
    np.testing.assert_allclose(standard, x / 2)
    np.testing.assert_allclose(scaled, 0, atol=1e-6)  # each at the median of its kind
    assert (model.inputs({"flow": 1.0}, x)[1][0] < -1).all()


@pytest.mark.parametrize("name", ["mixture", "moons"])
def test_true_densities_are_those_of_the_data(name):
    """Their integral over each cell of a grid is the share of the data that lies in it."""
    x = {"mixture": toy.mixture, "moons": toy.moons}[name](
        n_rows=40_000, seed=0, validation_fraction=0.1, test_fraction=0.1).train.x
    edges = [np.linspace(low, high, 9) for low, high in zip(x.min(0), x.max(0), strict=True)]
    shares = np.histogram2d(*x.T, bins=edges)[0] / len(x)
    fine = [np.linspace(edge[0], edge[-1], 241)[:-1] + (edge[-1] - edge[0]) / 480 for edge in edges]
    points = np.stack(np.meshgrid(*fine, indexing="ij"), -1).reshape(-1, 2)
    cell = np.prod([(edge[-1] - edge[0]) / 240 for edge in edges])
    density = np.exp(true_log_prob(name, points)).reshape(8, 30, 8, 30).sum((1, 3)) * cell
    np.testing.assert_allclose(density, shares, atol=5 * np.sqrt(0.25 / len(x)))
    assert np.abs(density - shares).sum() < 0.03
