"""`configs/arrays.py`: the flow that the data chooses, when it ends, and what is warned of."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import flowaa
from configs import arrays
from flowaa.config.automatic import resolve_architecture
from flowaa.config.flow import build_density
from flowaa.data.dataset import DataSpec
from flowaa.errors import FlowaaWarning, UserError
from tests.training.tiny import config_of, rows


def tiny(**overrides):
    config = arrays.get_config("smoke")
    config.update_from_flattened_dict({
        "training.n_devices": 1, "training.compilation_cache": "", "training.steps_per_call": 1,
        "training.steps": 40, "training.evaluate_every_steps": 20,
        "training.batch_size": 32, "optimizer.ema_decay": 0.9, **overrides})
    return config


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Discs of random size with a border that is always black."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:8, :8] - 3.5
    inside = np.hypot(y, x) < random.uniform(1.5, 3.0, (n, 1, 1))
    return (inside * random.integers(100, 256, (n, 1, 1))).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return flowaa.train(tiny(), folder, data=pictures(300))


def test_chosen_flow_is_what_the_folder_says_and_loads_again(of_pictures):
    folder = of_pictures.folder
    flow = json.loads((folder / "config.json").read_text())["flow"]
    assert (flow["architecture"], flow["law"], flow["reshape"]) == ("stages", "spline", ["squeeze"])
    x = pictures(5, seed=1)
    np.testing.assert_array_equal(flowaa.load_run(folder).log_prob(x), of_pictures.log_prob(x))


@pytest.mark.parametrize(("shape", "reshape", "split"), [
    ((28, 28, 1), ("squeeze", "squeeze"), "halves"), ((64, 32, 3), ("squeeze",) * 3, "halves"),
    ((10, 6, 2), ("none",), "checkerboard"), ((9, 8, 1), ("none",), "checkerboard")])
def test_images_of_every_size_have_a_convolutional_flow_that_can_be_built(shape, reshape, split):
    spec = DataSpec(shape, n_levels=256, mean=(9.0,) * shape[-1], std=(5.0,) * shape[-1])
    config = resolve_architecture(arrays.get_config(), spec, 1_000)
    assert (config.flow.reshape, config.flow.split) == (reshape, split)
    assert config.training.steps_per_call == 1  # loops of convolutions are slow on a CPU
    density = build_density(config, spec)
    x = jnp.zeros((2, *shape), jnp.uint8)
    noise = jax.eval_shape(lambda: density.noise(jax.random.key(0), jnp.arange(2)))
    params = jax.eval_shape(lambda: density.init(jax.random.key(0), x, None, None))
    z, log_det = jax.eval_shape(density.encode, params, x, None, noise)
    assert (z.shape, log_det.shape) == ((2, np.prod(shape)), (2,))


def test_a_stray_bright_pixel_costs_a_bounded_number_of_nats(of_pictures):
    x = pictures(20, seed=2)
    stray = x.copy()
    stray[:, 0, 0] = 255
    assert (x[:, 0, 0] == 0).all()
    cost = np.asarray(of_pictures.log_prob(x) - of_pictures.log_prob(stray))
    # 8 bits a pixel of 64 would be 355 nats; affine blocks made it tens of thousands.
    assert (cost > 0).all()
    assert cost.max() < 8 * 64 * np.log(2)


def test_summary_has_worst_row_gap_and_radii(of_pictures):
    figures = of_pictures.summary
    assert figures["test/worst_bits_per_dim"] >= figures["test/bits_per_dim"]
    assert 0 <= figures["test/radius_ks"] <= 1
    bits = figures["generalisation_gap/nll"] / (64 * np.log(2))
    assert figures["generalisation_gap/bits_per_dim"] == pytest.approx(bits)


def test_tables_are_chosen_for_and_what_was_chosen_is_said(capsys):
    """`tests/test_configs.py` trains such a table."""
    config = resolve_architecture(tiny(), DataSpec((3,), mean=(0.0,) * 3, std=(1.0,) * 3), 120)
    assert "flow.architecture=auto: 4 dense spline blocks of width 64" in capsys.readouterr().err
    assert (config.flow.reshape, config.flow.mixing) == (("none",), "orthogonal")
    assert config.likelihood.logit_alpha == 0


def test_keys_that_would_be_chosen_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"flow\.width is given.*architecture=stages"):
        flowaa.train(tiny(**{"flow.width": (7,)}), tmp_path / "run", data=pictures(50))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("n_test", [20, 300])
def test_a_density_that_overfits_is_warned_of_where_train_was_called(tmp_path, n_test):
    # Shifted test rows are unlikely and far out, however short the training.
    x = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    with pytest.warns(FlowaaWarning) as found:
        flowaa.train(config_of(), tmp_path, data={"x_train": x, "x_test": x[:n_test] + 5})
    ours = [warning for warning in found if warning.category is FlowaaWarning]
    said = " ".join(str(warning.message) for warning in ours)
    assert "test/radius_ks" in said
    assert "generalisation_gap/nll" in said
    assert {warning.filename for warning in ours} == {__file__}


def test_a_flow_less_likely_than_a_normal_law_is_warned_of(tmp_path):
    """Two correlated columns, which eight steps do not tell; the law's own figure is SciPy's."""
    x = np.random.default_rng(0).normal(size=(2_000, 1)) @ np.ones((1, 2))
    x = (x + 0.3 * np.random.default_rng(1).normal(size=x.shape)).astype(np.float32)
    with pytest.warns(FlowaaWarning, match="less likely than under one normal law"):
        run = flowaa.train(config_of(), tmp_path, data={"x_train": x[:1500], "x_test": x[1500:]})
    law = stats.multivariate_normal(x[:1500].mean(0), np.cov(x[:1500].T))
    assert run.summary["test/normal_nll"] == pytest.approx(-law.logpdf(x[1500:]).mean(), abs=0.02)


def test_a_constant_column_leaves_no_normal_law_to_compare_with(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    x[:, 1] = 3.0
    with pytest.warns(FlowaaWarning) as found:
        run = flowaa.train(config_of(), tmp_path, data=x)
    assert "test/normal_nll" not in run.summary
    assert not any("one normal law" in str(warning.message) for warning in found)


def test_training_ends_when_validation_does_not_improve(tmp_path):
    # A learning rate this small changes nothing in float32: the first evaluation stays the best.
    config = config_of(**{
        "optimizer.learning_rate": 1e-30, "optimizer.schedule": "constant", "training.steps": 40,
        "training.evaluate_every_steps": 2, "training.patience": 3})
    run = flowaa.train(config, tmp_path)
    assert (run.summary["steps"], run.step) == (8, 2)
    assert flowaa.train(config, tmp_path).summary["steps"] == 8


def test_training_ends_with_its_time_and_is_evaluated(tmp_path):
    config = config_of(**{"training.steps": 1000, "training.evaluate_every_steps": 1000,
                          "training.max_minutes": 1e-4})
    run = flowaa.train(config, tmp_path)
    assert run.summary["steps"] < 1000
    assert "validation/bits_per_dim" in rows(tmp_path)[-1]
