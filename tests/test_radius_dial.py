"""How far a run's outliers lie: as rare among rows of the data as they are said to be."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

import flowaa
from flowaa.errors import FlowaaWarning
from flowaa.extremes import PeaksOverThreshold
from flowaa.outliers.dial import fit_radius_dial
from tests.training.tiny import config_of, train

KEY = jax.random.key(0)
LAW = stats.multivariate_t([1.0, -2.0], [[4.0, 1.8], [1.8, 1.0]], 3)
PARETO = stats.genpareto(0.3, loc=1.0)


@pytest.fixture(scope="module")
def heavy_run(tmp_path_factory):
    """A flow with normal tails of rows with heavy ones."""
    folder = tmp_path_factory.mktemp("heavy")
    rows = LAW.rvs(8000, random_state=0).astype(np.float32)
    with pytest.warns(FlowaaWarning):
        return flowaa.train(config_of(**{"training.steps": 60}), folder, data=rows)


def test_radii_of_a_known_tail_have_its_levels():
    dial = fit_radius_dial(PARETO.rvs(2000, random_state=0))
    for period in (2.0, 20.0, 200.0):
        found = dial.radius_of(-np.log(period))
        assert found == pytest.approx(PARETO.isf(1 / period), rel=0.12)
        assert dial.return_period(found) == pytest.approx(period, rel=0.05)
    low, level, high = (lambda i: (i.low, i.estimate, i.high))(dial.interval(1e4))
    assert low < PARETO.isf(1e-4) < high
    assert dial.radius_of(-np.log(1e4)) == pytest.approx(level)


def test_the_centre_is_exceeded_by_all_and_nothing_is_nan():
    dial = fit_radius_dial(PARETO.rvs(500, random_state=0))
    assert dial.radius_of(0.0) == 0.0
    assert np.isfinite(dial.radius_of([-1.0, -700.0])).all()
    assert (np.diff(dial.radius_of(-np.linspace(0, 20, 400))) >= 0).all()
    assert (dial.return_period([np.inf, np.nan, 1e35]) > 1e3).all()


def test_latents_move_along_their_direction_in_their_class_s_units():
    dial = fit_radius_dial(PARETO.rvs(2000, random_state=0))
    mean, scale = np.array([[1.0, -1.0]] * 3), np.array([[2.0, 0.5]] * 3)
    z = np.array([[5.0, -1.0], [1.0, 0.0], [1.0, -1.0]])
    before, after = (z - mean) / scale, (np.asarray(dial.moved(z, mean, scale)) - mean) / scale
    np.testing.assert_allclose(
        np.linalg.norm(after, axis=1),
        [*dial.radius_of(stats.chi(2).logsf(np.linalg.norm(before[:2], axis=1))), 0], rtol=1e-4)
    np.testing.assert_allclose(np.sign(after[:2]), np.sign(before[:2]))
    heavy = fit_radius_dial(stats.genpareto.rvs(2.5, size=500, random_state=0))
    assert np.isfinite(np.asarray(heavy.moved(np.array([[12.0, 0.0]]), 0.0, 1.0))).all()


def test_rows_beyond_float32_are_said():
    radii = PARETO.rvs(500, random_state=0)
    radii[:3] = np.inf
    with pytest.warns(FlowaaWarning, match="3 of 500 validation rows"):
        fit_radius_dial(radii)


def test_no_radius_is_impossible():
    dial = fit_radius_dial(np.random.default_rng(0).uniform(1, 2, 500))
    assert np.isfinite(dial.return_period(2.5))
    assert dial.radius_of(-np.log(1e9)) > 2.0


def test_few_or_equal_radii_make_no_dial():
    assert fit_radius_dial(PARETO.rvs(99, random_state=0)) is None
    assert fit_radius_dial(np.ones(500)) is None


@pytest.mark.parametrize("d", [2, 50])
def test_radii_of_the_law_agree_with_it(d):
    agreed = [fit_radius_dial(stats.chi(d).rvs(500, random_state=seed)).agrees_with_law(d)
              for seed in range(20)]
    assert np.mean(agreed) >= 0.9
    assert not fit_radius_dial(1.1 * stats.chi(d).rvs(2000, random_state=0)).agrees_with_law(d)
    heavy = stats.chi(d).rvs(2000, random_state=0)
    heavy[np.argsort(heavy)[-45:]] *= 1.3  # nothing is wrong but beyond the 1-in-50 level
    assert not fit_radius_dial(heavy).agrees_with_law(d)
    crowded = stats.chi(d).rvs(2000, random_state=0)  # nor beyond the furthest of the law's
    crowded[np.argsort(crowded)[-45:]] = stats.chi(d).isf(np.linspace(0.002, 0.009, 45))
    assert not fit_radius_dial(crowded).agrees_with_law(d)


def test_one_row_that_the_law_does_not_know_contradicts_it():
    radii = stats.chi(2).rvs(2000, random_state=0)
    assert fit_radius_dial(radii).agrees_with_law(2)
    assert not fit_radius_dial(np.append(radii, 9.0)).agrees_with_law(2)


def test_the_body_of_radii_is_held_against_the_law_as_well():
    """As many as stated are beyond each level, yet those within lie elsewhere."""
    law = stats.chi(3)
    radii = law.isf(np.linspace(1e-4, 1, 3000))
    inside = radii < law.isf(0.12)
    radii[inside] *= 0.9
    assert not fit_radius_dial(radii).agrees_with_law(3)


def test_levels_of_one_in_a_thousand_are_held_against_the_law():
    law = stats.chi(3)
    shares = np.linspace(1e-4, 1, 20_000)
    shares[(shares > 2e-3) & (shares < 4e-3)] = 5e-4  # the furthest is where it was
    radii = law.isf(np.sort(shares)[::-1] + np.linspace(0, 1e-9, 20_000))
    assert not fit_radius_dial(radii).agrees_with_law(3)


@pytest.mark.parametrize("d", [2, 10, 50])
def test_intervals_of_a_tail_without_an_end_hold_the_law_that_rows_agree_with(d):
    """Normal radii speak for an end that is not there: the dial's shape is 0, too heavy."""
    dial = fit_radius_dial(stats.chi(d).rvs(2000, random_state=d))
    assert dial.tail.shape_ == 0
    for period in (1e3, 1e4):
        found = dial.interval(period)
        assert found.low < stats.chi(d).isf(1 / period) < found.high
    alone = PeaksOverThreshold(threshold=dial.tail.threshold_, shape=0.0).fit(dial.radii)
    assert dial.interval(1e4).low < alone.interval(n=1e4).low


@pytest.mark.parametrize("method", ["shell", "gumbel"])
def test_as_many_rows_lie_further_out_as_stated(heavy_run, method):
    fresh = LAW.rvs(20_000, random_state=1).astype(np.float32)
    radii = np.asarray(heavy_run.outlier_score(fresh, "latent_norm"))
    for period in (20.0, 100.0):
        drawn = heavy_run.draw_outliers(KEY, 500, method, extremeness=period)
        radius = np.asarray(drawn.radius)
        if method == "shell":
            share, error = (radii > radius[0]).mean(), np.sqrt(1 / period / 800)
            assert abs(share - 1 / period) < 3 * error  # of the 800 held-out rows it was told by
            np.testing.assert_allclose(drawn.data_return_period, period, rtol=0.05)
            law = (radii > stats.chi(2).isf(1 / period)).mean()
            assert period < 100 or abs(law - 1 / period) > 3 * error  # the model's own is wrong
        else:  # the furthest of so many: half of those of the data lie further out
            blocks = radii[:len(radii) // int(period) * int(period)].reshape(-1, int(period)).max(1)
            assert 0.3 < (blocks[:, None] > radius).mean() < 0.7


def test_a_run_without_held_out_rows_has_its_law(heavy_run):
    alone = dataclasses.replace(heavy_run, folder=None)
    assert alone.radius_dial is None
    drawn = alone.draw_outliers(KEY, 4, "shell", extremeness=100.0)
    np.testing.assert_allclose(drawn.radius, stats.chi(2).isf(0.01), rtol=1e-3)
    assert drawn.data_return_period is None


def test_a_class_is_measured_about_its_own_centre(tmp_path):
    config = config_of(**{"flow.base": "class_mixture", "flow.conditional": True,
                          "data.n_rows": 2000})
    train(config, str(tmp_path))
    run = flowaa.load_run(tmp_path)
    dial = run.radius_dial
    with np.load(tmp_path / "reference.npz") as rows:
        x, label = rows["validation"], rows["validation_label"]
    base, z = run.params["base"], np.asarray(run.encode(x, label)[0])
    standard = (z - base["means"][label]) / np.exp(base["log_scales"][label])
    np.testing.assert_allclose(dial.radii, np.sort(np.linalg.norm(standard, axis=1)), rtol=1e-4)


@pytest.mark.parametrize("label", [None, np.full(9, 99, np.int32), np.zeros(3, np.int32)])
def test_rows_without_their_labels_leave_the_law(tmp_path, label):
    train(config_of(**{"flow.base": "class_mixture", "flow.conditional": True}), str(tmp_path))
    with np.load(tmp_path / "reference.npz") as rows:
        arrays = {"train": rows["train"], "validation": rows["validation"][:9]}
    if label is not None:
        arrays["validation_label"] = label
    np.savez(tmp_path / "reference.npz", **arrays)
    with pytest.warns(FlowaaWarning, match="have no labels, or others than it knows"):
        assert flowaa.load_run(tmp_path).radius_dial is None


def test_the_furthest_tail_makes_a_dial_and_what_cannot_be_fitted_is_said():
    assert fit_radius_dial(stats.genpareto.rvs(4, size=2000, random_state=1)).tail.shape_ > 3
    with pytest.warns(FlowaaWarning, match="goes by the model's own law"):
        assert fit_radius_dial(np.ones(500)) is None


def test_thirty_radii_are_beyond_the_threshold_of_a_dial_of_few():
    assert fit_radius_dial(PARETO.rvs(150, random_state=0)).tail.n_exceedances_ == 30
