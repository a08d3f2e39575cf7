"""`flow.tails`: what is chosen for which rows, what is refused, and the tail that is learned."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import flowaa
from flowaa.bijectors.radial_tail import RadialTail
from flowaa.bijectors.tail_transform import TailTransform
from flowaa.config.automatic import resolve_architecture
from flowaa.config.flow import build_density
from flowaa.config.tails import resolve_tails
from flowaa.data.dataset import DataSpec
from flowaa.data.sources.given import given
from flowaa.errors import FlowaaWarning, UserError
from flowaa.outliers.dial import fit_radius_dial
from tests.training.tiny import config_of

NU = 2.0  # degrees of freedom: tail index 1/2


def student(n: int, d: int = 2, seed: int = 0) -> np.ndarray:
    """Rows [n, d] of the multivariate Student law, shifted and of another unit."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, d)) / np.sqrt(random.chisquare(NU, (n, 1)) / NU)
    return rows.astype(np.float32)


def columns(*names: str, n: int = 3_000) -> np.ndarray:
    """A column of each law named."""
    random = np.random.default_rng(1)
    draws = {"normal": lambda: random.normal(size=n), "cauchy": lambda: random.standard_cauchy(n),
             "pareto": lambda: 7 + 100 * random.pareto(1.5, n),
             "below": lambda: -random.pareto(2.0, n), "uniform": lambda: random.uniform(size=n),
             "laplace": lambda: random.laplace(size=n), "constant": lambda: np.full(n, 3.0)}
    return np.stack([draws[name]() for name in names], axis=1).astype(np.float32)


def resolved(x: np.ndarray, **overrides):
    dataset = given(x, seed=0, validation_fraction=0.1, test_fraction=0.2)
    return resolve_tails(config_of(**{"flow.tails": "auto", **overrides}), dataset), dataset


def test_light_tails_leave_config_and_rows_as_they_are(capsys):
    names = ("normal", "uniform", "laplace", "constant")
    tails, dataset = resolved(columns(*names))
    assert tails.config.flow.tails == "gaussian"
    assert tails.config.to_dict() == config_of().to_dict()
    assert tails.dataset is dataset
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "flow.tails=auto: gaussian; the largest and smallest tenth of no feature" in said


def test_the_heavy_features_are_chosen_and_said(capsys):
    x = columns("normal", "cauchy", "uniform", "pareto", "below")
    tails, dataset = resolved(x)
    assert (tails.config.flow.tails, tails.config.flow.tail_features) == ("transform", (1, 3, 4))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "transform of 3 of 5 features" in said
    assert "1 (1." in said or "1 (0.9" in said
    train = np.asarray(dataset.train.x[np.arange(len(dataset.train))], np.float64)
    low, middle, high = np.quantile(train, (0.25, 0.5, 0.75), axis=0)
    spec, before = tails.dataset.spec, dataset.spec
    for index in range(5):
        expected = (before.mean[index], before.std[index])
        if index in (1, 3, 4):
            expected = (middle[index], (high[index] - low[index]) / 2)
        assert (spec.mean[index], spec.std[index]) == pytest.approx(expected)
    cauchy, pareto, below = tails.shapes
    assert cauchy == pytest.approx((1, 1), abs=0.45)  # three standard errors
    assert pareto == (0.05, pytest.approx(1 / 1.5, abs=0.35))
    assert below == (pytest.approx(0.5, abs=0.3), 0.05)


def test_few_rows_are_not_called_heavy():
    assert resolved(columns("cauchy", n=400))[0].config.flow.tails == "gaussian"
    assert resolved(columns("cauchy", n=800))[0].config.flow.tails == "transform"


@pytest.mark.parametrize("kind", ["transform", "student_t"])
def test_heavy_tails_of_pictures_and_of_levels_are_refused(kind, tmp_path):
    random = np.random.default_rng(0)
    for x, words in ((random.normal(size=(50, 4, 4, 1)).astype(np.float32), "no rows of numbers"),
                     (random.integers(0, 9, (50, 3)).astype(np.uint8), "levels")):
        with pytest.raises(UserError, match=rf"^flow\.tails={kind}: .*{words}.*gaussian$"):
            flowaa.train(config_of(**{"flow.tails": kind, "flow.reshape": ("flatten",)}),
                         tmp_path / "run", data=x)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("overrides", "words"), [
    ({"flow.tails": "heavy"}, r"flow\.tails is 'heavy'.*student_t"),
    ({"flow.tails": "transform", "flow.tail_features": (2,)}, r"flow\.tail_features is \(2,\)"),
    ({"flow.tails": "transform", "flow.tail_features": (1, 1)}, "different columns"),
    ({"flow.tails": "transform", "flow.tail_features": (-1,)}, "0 or larger"),
    ({"flow.tails": "auto", "flow.tail_features": (1,)}, r"flow\.tails=auto does not take"),
])
def test_keys_that_cannot_be_are_refused(overrides, words, tmp_path):
    with pytest.raises(UserError, match=words):
        flowaa.train(config_of(**overrides), tmp_path / "run", data=student(100))
    assert not (tmp_path / "run").exists()


def test_auto_of_pictures_is_silent_and_gaussian(capsys):
    x = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
    assert resolved(x)[0].config.flow.tails == "gaussian"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("kind", "block", "place"), [
    ("transform", TailTransform, 0), ("student_t", RadialTail, -1)])
def test_latents_stay_normal_and_data_has_the_tail(kind, block, place):
    """At the start: far latents are as far out as the tail index says, in the rows' units."""
    spec = DataSpec((2,), mean=(0.0, 5.0), std=(1.0, 2.0))
    config = config_of(**{"flow.tails": kind, "flow.n_blocks": (1,)})
    density = build_density(config, spec, ((0.25, 0.25),))
    assert isinstance(density.flow.bijector.blocks[place], block)
    params = density.init(jax.random.key(0), jnp.zeros((4, 2)), None)
    z = jnp.asarray([[5.0, 0.0], [8.0, 0.0]])
    x = (density.decode(params, z, None) - jnp.asarray(spec.mean)) / jnp.asarray(spec.std)
    growth = np.log(np.abs(x).max(1))
    rarer = np.diff(special.log_ndtr([-5.0, -8.0])) if kind == "transform" else -(64 - 25) / 2
    assert np.diff(growth) / -rarer == pytest.approx(0.25, rel=0.03)
    np.testing.assert_allclose(density.flow.base.apply({}).log_prob(z),
                               -0.5 * (z**2).sum(1) - np.log(2 * np.pi), rtol=1e-6)
    back, _ = density.encode(params, density.decode(params, z, None), None, 0.0)
    np.testing.assert_allclose(back, z, rtol=1e-5, atol=1e-5)


def test_the_radius_starts_from_its_own_tail_in_units_of_each_feature():
    x = student(4_000) * [1.0, 1e6]
    tails, _ = resolved(x.astype(np.float32), **{"flow.tails": "student_t"})
    assert tails.config.flow.tails == "student_t"
    assert np.ptp(tails.dataset.spec.std / np.array([1.0, 1e6])) < 0.1
    ((lower, upper),) = tails.shapes
    assert lower == upper == pytest.approx(0.5, abs=3 * 1.5 / np.sqrt(288))
    random = np.random.default_rng(0)
    of_one = np.column_stack([random.normal(size=4_000), x[:, 0]])  # the second alone is heavy
    tails, _ = resolved(of_one.astype(np.float32), **{"flow.tails": "student_t"})
    assert tails.shapes[0][0] > 0.25


def test_a_flow_chosen_for_heavy_tails_has_wide_splines():
    spec = DataSpec((2,), mean=(0.0,) * 2, std=(1.0,) * 2)
    bounds = {}
    for tails in ("gaussian", "transform"):
        config = config_of(**{"flow.tails": tails}).copy_and_resolve_references().unlock()
        config.flow.update(architecture="auto", n_blocks=(8,), width=(64,), depth=(2,))
        bounds[tails] = resolve_architecture(config, spec, 1_000).flow.spline_bound
    assert bounds == {"gaussian": 4.0, "transform": 6.0}


@pytest.fixture(scope="module")
def of_student(tmp_path_factory):
    """Runs on the same rows, with and without heavy tails."""
    overrides = {
        "flow.law": "spline", "flow.n_blocks": (1,), "flow.width": (16,), "flow.spline_bound": 6.0,
        "flow.spline_bins": 6, "optimizer.learning_rate": 3e-3, "training.batch_size": 256,
        "training.steps": 200, "training.steps_per_call": 10,
        "training.log_every_steps": 100, "training.evaluate_every_steps": 100}
    return {kind: flowaa.train(config_of(**overrides, **{"flow.tails": kind}),
                               tmp_path_factory.mktemp(kind), data=student(20_000))
            for kind in ("gaussian", "auto", "student_t")}


def error_of_level(run: flowaa.Run, period: float = 1e4) -> float:
    """log10 of the radius that one draw in `period` exceeds, less that of the law."""
    draws = np.asarray(run.sample(jax.random.key(0), 200_000), np.float64)
    level = np.quantile(np.hypot(*draws.T), 1 - 1 / period)
    return float(np.log10(level / np.sqrt(NU * (period ** (2 / NU) - 1))))


def test_return_levels_of_student_rows_are_learned(of_student):
    errors = {kind: abs(error_of_level(run)) for kind, run in of_student.items()}
    assert errors["auto"] < 0.15
    assert errors["student_t"] < 0.1
    assert errors["gaussian"] > 2 * max(errors["auto"], errors["student_t"])
    nll = {kind: run.summary["test/nll"] for kind, run in of_student.items()}
    assert max(nll["auto"], nll["student_t"]) < nll["gaussian"] - 0.1


@pytest.mark.parametrize("kind", ["auto", "student_t"])
def test_a_run_with_heavy_tails_loads_again(of_student, kind):
    run = of_student[kind]
    flow = json.loads((run.folder / "config.json").read_text())["flow"]
    assert (flow["tails"], flow["tail_features"]) == (
        "transform" if kind == "auto" else kind, [])
    x = np.concatenate([student(50, seed=5), [[1e15, -1.0]]]).astype(np.float32)
    loaded = flowaa.load_run(run.folder)
    np.testing.assert_array_equal(loaded.log_prob(x), run.log_prob(x))
    assert np.isfinite(run.log_prob(x)).all()


def test_outliers_of_return_periods_are_finite(of_student):
    x = of_student["auto"].sample_outliers(jax.random.key(0), 20, extremeness=1e12)
    assert np.isfinite(x).all()


def test_outliers_are_not_carried_by_two_tails(of_student):
    """Radii of rows that the law does not know, as of a flow that misfits other directions."""
    run = dataclasses.replace(of_student["auto"])
    vars(run)["radius_dial"] = fit_radius_dial(
        stats.genpareto.rvs(0.4, loc=1, size=500, random_state=0))
    with pytest.warns(FlowaaWarning, match="the flow's own tails fall as powers"):
        drawn = run.draw_outliers(jax.random.key(0), 20, extremeness=1e6)
    np.testing.assert_allclose(drawn.radius, stats.chi(2).isf(1e-6), rtol=1e-3)
    assert np.isfinite(drawn.data_return_period).all()
