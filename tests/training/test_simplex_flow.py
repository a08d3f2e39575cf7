"""Runs whose base distribution is a noisy simplex: their start, what they give, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flowaa
from flowaa.archetypes.classical.comparison import weight_error
from flowaa.archetypes.simplex import regular_vertices
from flowaa.config.archetypes import OF_HEADS
from flowaa.config.data import build_data
from flowaa.config.flow import build_density
from flowaa.configs import default
from flowaa.data.dataset import Split
from flowaa.data.description import describe
from flowaa.errors import UserError
from flowaa.flow.noisy_simplex import NoisySimplex
from flowaa.training.archetypes.simplex_start import fit_simplex, start_latent
from tests.training.tiny import config_of, summary, train

pytestmark = pytest.mark.usefixtures("no_figures")
K = 3
SIMPLEX = {"data.name": "keller", "archetypes.n_archetypes": K, "flow.base": "simplex",
           "flow.readout": True, "flow.curves": True, "archetypes.simplex_points": 64}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simplex")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
        train(config_of(**SIMPLEX), str(folder))
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return flowaa.load_run(folder)


@pytest.fixture(scope="module")
def test_split(run):
    return build_data(run.config).test


def test_weights_and_archetypes_of_a_run(folder, run, test_split):
    assert run.archetypes.shape == (K, K - 1)
    weights = np.asarray(run.archetype_weights(test_split.x))
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-5)
    assert weights.min() >= 0
    assert {"test/weight_mae", "start/weight_mae", "test/bits_per_dim"} <= set(summary(folder))
    assert "archetypes: 3" in repr(run)
    assert "curves" in repr(run)


def test_concentration_is_learned(run):
    """It starts the same for all archetypes."""
    assert np.ptp(run.params["base"]["log_concentration"]) > 0


def test_decoded_weights_lie_at_their_mixture_of_the_vertices(run):
    """With the rest at its mean, also beyond the simplex."""
    weights = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [1.4, -0.2, -0.2]])
    z, _ = run.encode(run.decode_weights(weights))
    np.testing.assert_allclose(z[:, :K - 1], weights @ np.asarray(run.archetypes), atol=1e-3)
    np.testing.assert_allclose(z[:, K - 1:], 0.0, atol=1e-3)


def test_other_weights_leave_the_rest_of_a_row_its_own(run, test_split):
    x, weights = test_split.x[:5], np.tile([0.1, 0.2, 0.7], (5, 1))
    before, _ = run.encode(x)
    after, _ = run.encode(run.with_weights(x, weights))
    own = np.asarray(run.archetype_weights(x))
    np.testing.assert_allclose(after[:, :K - 1] - before[:, :K - 1],
                               (weights - own) @ np.asarray(run.archetypes), atol=1e-3)
    np.testing.assert_allclose(after[:, K - 1:], before[:, K - 1:], atol=1e-3)
    np.testing.assert_allclose(run.with_weights(x, own), x, atol=1e-3)


def test_density_is_the_bases_through_the_flow(run, test_split):
    x = test_split.x[:20]
    z, log_det = run.encode(x)
    law = run.density.flow.base.apply({"params": run.params["base"]})
    np.testing.assert_allclose(run.log_prob(x), law.log_prob(z) + log_det, rtol=1e-5)
    assert run.sample(jax.random.key(0), 7).shape == (7, 8)


def test_weights_of_rows_however_far_lie_on_the_simplex(run, test_split):
    law = run.density.flow.base.apply({"params": run.params["base"]})
    z = law.latent(jnp.eye(K)) + 0.05
    weights = np.asarray(law.weights(z))
    far = np.asarray(law.weights(1e19 * (z - z.mean(0))))
    np.testing.assert_allclose(far.sum(1), 1.0, atol=1e-6)
    assert far.min() >= 0
    assert (far.argmax(1) == weights.argmax(1)).all()


def test_outliers_beyond_the_simplex_have_the_period_asked_for(run):
    drawn = run.draw_outliers(jax.random.key(0), 40, "simplex", extremeness=1e5)
    np.testing.assert_allclose(drawn.return_period, 1e5, rtol=0.05)
    assert (drawn.hull_distance > 0).all()
    assert np.isfinite(run.outlier_score(drawn.x, "combined")).all()
    for method in ("shell", "gumbel"):
        with pytest.raises(UserError, match=f"method {method}: with flow.base=simplex"):
            run.sample_outliers(jax.random.key(0), 4, method, extremeness=1e3)


def mixtures(n: int, k: int, noise: float, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [n, D] of a noisy simplex in a random place, and their weights."""
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(k), n)
    x = weights @ random.normal(size=(k, d)) + noise * random.normal(size=(n, d))
    return x.astype(np.float32), weights.astype(np.float32)


def test_a_run_may_start_at_random(tmp_path):
    train(config_of(**SIMPLEX, **{"archetypes.start": "random"}), str(tmp_path))
    assert np.isfinite(summary(tmp_path)["test/bits_per_dim"])


def test_what_is_refused_of_heads_is_what_is_not_the_default():
    fields = default.get_config().archetypes
    assert {key: fields[key] for key in OF_HEADS} == OF_HEADS
    # The others have a meaning with a simplex, or are sizes of what is refused.
    assert set(fields) - set(OF_HEADS) == {
        "n_archetypes", "simplex_points", "start", "start_rows", "variational_width", "shift_px",
        "rotation_degrees", "scale_percent", "brightness_percent"}


def test_a_run_starts_as_whitened_components_and_their_archetypes():
    """Through blocks that permute: the latent's first dimensions are the first components."""
    x, weights = mixtures(2_000, K, 0.05, 6)
    train_split = Split(x)
    spec = describe(train_split, n_levels=0)
    density = build_density(config_of(**SIMPLEX | {"archetypes.simplex_points": 512}), spec)
    params = jax.jit(density.init)(jax.random.key(0), jnp.asarray(x[:16]), None)
    params = start_latent(density, train_split, params, n_rows=2_000, seed=0)
    z, _ = jax.jit(density.encode)(params, jnp.asarray(x), None, 0.0)
    np.testing.assert_allclose(np.mean(np.asarray(z), 0), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.cov(np.asarray(z).T), np.eye(6), atol=0.01)
    u = (x - x.mean(0)) / np.asarray(spec.std)
    components = np.linalg.svd(u - u.mean(0), full_matrices=False)[0][:, :K - 1]
    shares = np.abs(np.corrcoef(components.T, np.asarray(z[:, :K - 1]).T)[:2, 2:])
    np.testing.assert_allclose(shares, np.eye(2), atol=0.01)
    law = density.flow.base.apply({"params": params["base"]})
    assert weight_error(np.asarray(law.weights(z)), weights) < 0.03


def test_noise_moves_the_first_vertices_inwards():
    """Classical archetypes lie among the furthest rows, which noise has taken there."""
    random, true = np.random.default_rng(0), 2.0 * regular_vertices(K)
    z = random.dirichlet(np.ones(K), 1_500) @ true + 0.3 * random.normal(size=(1_500, 2))
    base = NoisySimplex(2, K, n_points=128)
    found = fit_simplex(z, base, seed=0)
    vertices = base.apply({"params": found}).vertices
    area = [abs(np.linalg.det(points[1:] - points[0])) for points in (vertices, true)]
    assert 0.8 < area[0] / area[1] < 1.25
    assert 0.7 < np.exp(found["log_noise"]) / 0.3 < 1.4
    assert np.abs(found["log_concentration"]).max() < 0.4


def test_weights_far_from_the_corners_move_the_first_vertices_outwards():
    """No row is near a vertex, so that classical archetypes lie within the simplex."""
    random, true = np.random.default_rng(0), 2.0 * regular_vertices(K)
    z = random.dirichlet(np.full(K, 3.0), 1_500) @ true + 0.1 * random.normal(size=(1_500, 2))
    base = NoisySimplex(2, K)
    found = fit_simplex(z, base, seed=0)
    assert (found["log_concentration"] > np.log(1.8)).all()
    farthest = np.linalg.norm(z - z.mean(0), axis=1).max()
    vertices = np.asarray(base.apply({"params": found}).vertices)
    assert (np.linalg.norm(vertices, axis=1) > 0.9 * farthest).all()


@pytest.mark.parametrize(("overrides", "message"), [
    ({"archetypes.side": "scores"}, "archetypes.side is for heads"),
    ({"archetypes.warm_up_steps": 4}, "archetypes.warm_up_steps is for heads"),
    ({"archetypes.start": "side"}, "archetypes.start=side is for heads"),
    ({"archetypes.n_archetypes": 0}, "archetypes.n_archetypes is 0; set it between 2 and 9"),
    ({"archetypes.n_archetypes": 10}, "between 2 and 9"),
    ({"archetypes.reconstruction_weight": 7.0}, "archetypes.reconstruction_weight is for heads"),
    ({"archetypes.vertices": "learned"}, "archetypes.vertices is for heads"),
    ({"archetypes.simplex_points": 20}, "archetypes.simplex_points is 20; set it to at least 24"),
    ({"archetypes.start_rows": 4}, "archetypes.start_rows is 4; set it to at least 10"),
    ({"flow.readout": False}, "set flow.readout=True"),
    ({"flow.tails": "student_t"}, "flow.tails=student_t makes latents normal"),
    ({"data.concentration": (1.0, 2.0)}, "data.concentration is .1.0, 2.0.; set it to 3 numbers"),
    ({"data.concentration": (1.0, 2.0, 0.0)}, "set it to 3 numbers larger than 0"),
])
def test_what_is_refused(overrides, message, tmp_path):
    with pytest.raises(UserError, match=message):
        train(config_of(**{**SIMPLEX, **overrides}), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_flow_without_anything_to_train_is_refused():
    with pytest.raises(UserError, match=r"flow\.n_blocks is 0 in every stage"):
        build_density(config_of(**{"flow.n_blocks": (0,)}), describe(
            Split(np.zeros((4, 3), np.float32)), n_levels=0))


def test_curves_are_for_rows():
    with pytest.raises(UserError, match=r"flow\.curves=True: examples of the shape \(4, 4, 1\)"):
        build_density(config_of(**{"flow.curves": True, "flow.reshape": ("flatten",)}), describe(
            Split(np.zeros((4, 4, 4, 1), np.uint8)), n_levels=256))


def test_a_readout_of_pictures_flattens_them():
    density = build_density(
        config_of(**{"flow.readout": True, "flow.reshape": ("squeeze",), "flow.n_blocks": (1,)}),
        describe(Split(np.zeros((4, 4, 4, 1), np.uint8)), n_levels=256))
    assert density.flow.latent_shape == (16,)


def test_other_weights_need_a_simplex_as_the_base(plane_run):
    with pytest.raises(UserError, match="no archetypes"):
        plane_run.with_weights(np.zeros((2, 2)), np.eye(2))
