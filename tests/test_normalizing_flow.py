"""`NormalizingFlow` through its public methods, against laws whose density is known."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal

import flowaa
from flowaa.configs import default
from flowaa.errors import FlowaaWarning, UserError
from flowaa.flow.architecture import Architecture, Stage
from flowaa.training.files.compilation_cache import DEFAULT_FOLDER, remove_oldest

SMALL = Architecture((Stage("none", 2, 16, 1),), law="spline", mixing="orthogonal", spline_bins=4,
                     scan=True)
LAW = multivariate_normal([1.0, -2.0], [[4.0, 1.8], [1.8, 1.0]])


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return LAW.rvs(400, random_state=0)


@pytest.fixture(scope="module")
def model(rows: np.ndarray) -> flowaa.NormalizingFlow:
    return flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(rows)


def test_the_density_is_near_the_true_one(model):
    test = LAW.rvs(2000, random_state=1)
    assert LAW.logpdf(test).mean() - 0.1 < model.score(test) < LAW.logpdf(test).mean() + 0.02


def test_the_density_integrates_to_one(model):
    a, b = np.linspace(-14, 16, 300), np.linspace(-10, 6, 300)
    grid = np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.score_samples(grid)).reshape(300, 300)
    assert trapezoid(trapezoid(density, b), a) == pytest.approx(1, abs=0.01)


def test_samples_have_the_moments_of_the_rows(model, rows):
    drawn = model.sample(4000)
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.2)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(rows.T), rtol=0.2)


def test_latents_come_back_and_are_normal(model, rows):
    z = model.transform(rows)
    np.testing.assert_allclose(model.inverse_transform(z), rows, atol=2e-4)
    assert abs(z.mean()) < 0.15
    assert z.std() == pytest.approx(1, abs=0.15)


def test_far_rows_fall_off_and_never_explode(model):
    far = model.score_samples([[1.0, -2.0], [1e2, 1e2], [1e4, -1e4], [1e12, 1e12]])
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()
    assert far[3] > -1e3  # the heavy-tailed member bounds what one odd number can cost


def test_weights_and_scores_are_reported(model):
    assert sum(model.member_weights_.values()) == pytest.approx(1)
    assert min(model.member_weights_.values()) >= 0.0099
    assert model.radius_ks_ < 0.15
    assert abs(model.training_score_ - model.validation_score_) < 0.3


def test_the_scale_of_columns_is_part_of_the_density(model, rows):
    scaled = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(
        rows * [1e3, 1e-3] + [1e6, 0])
    np.testing.assert_allclose(
        scaled.score_samples(rows[:50] * [1e3, 1e-3] + [1e6, 0]), model.score_samples(rows[:50]),
        atol=0.05)


def test_units_at_the_ends_of_float64_change_the_density_by_their_log(model, rows):
    unit = 2.0**1000
    scaled = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(
        rows * [unit, 1 / unit])
    # The units cancel in the density, and a power of two changes no digit.
    np.testing.assert_allclose(scaled.score_samples(rows[:50] * [unit, 1 / unit]),
                               model.score_samples(rows[:50]), atol=1e-6)
    np.testing.assert_allclose(scaled.sample(9) / [unit, 1 / unit], model.sample(9), rtol=1e-6)


def test_rows_beyond_float32_have_less_density_and_beyond_float64_none(model):
    far = [[1e30, 0.0], [1e60, 0.0], [0.0, -1e150], [1e200, 1e300], [1.7e308, -1.7e308]]
    scores = model.score_samples(far)
    assert np.isfinite(scores[:3]).all()
    assert (np.diff(scores[:3]) < 0).all()
    assert (scores[3:] == -np.inf).all()
    assert not np.isnan(model.transform(far)).any()


def test_a_value_that_hides_all_others_is_named(rows):
    far = rows.copy()
    far[3, 1] = 1e300
    with pytest.raises(UserError, match="column 1 holds 1e\\+300"):
        flowaa.NormalizingFlow(architecture=SMALL).fit(far)


@pytest.mark.parametrize(("values", "share"), [
    ("index of 3", 0.0), ("sentinel", 0.05), ("sentinel", 0.4)])
def test_rows_whose_largest_values_hide_the_others_are_learned(values, share):
    """By the column's deviation the others would be one level: -26 nats a row, and -20."""
    rng = np.random.default_rng(0)
    if values == "sentinel":
        law: Any = stats.norm()
        x = law.rvs((800, 2), random_state=rng)
        x[:int(share * len(x)), 0] = -1e9
    else:
        law = stats.t(1 / 3)
        x = law.rvs((800, 2), random_state=rng)
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(x)
    usual = np.array([[0.3, -0.5], [1.2, 0.1], [-0.8, 0.4]])
    np.testing.assert_allclose(
        model.score_samples(usual), law.logpdf(usual).sum(1) + np.log1p(-share), atol=0.6)
    drawn = np.abs(model.sample(2000))
    np.testing.assert_allclose(np.log10(np.median(drawn, axis=0)),
                               np.log10(np.median(np.abs(x), axis=0)), atol=0.3)
    if values == "sentinel":
        assert (drawn[:, 0] > 1e8).mean() == pytest.approx(share, abs=0.03)


def test_two_rows_are_enough_and_weights_may_leave_two(rows):
    weight = np.zeros(len(rows))
    weight[[3, 8]] = 1e308
    make = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0)
    with pytest.warns(FlowaaWarning, match="latent radii"):
        two = make.fit(rows, sample_weight=weight)
    assert np.isfinite(two.validation_score_)
    at, between = two.score_samples(rows[[3, 8]]), two.score_samples([rows[[3, 8]].mean(0) + 99])
    assert at.min() > between


def test_a_row_of_nearly_all_the_weight_leaves_a_density(rows):
    weight = np.ones(len(rows))
    weight[3] = 1e9
    make = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0)
    with pytest.warns(FlowaaWarning, match="latent radii"):
        heavy = make.fit(rows, sample_weight=weight)
    assert heavy.score_samples(rows[3:4]) > heavy.score_samples(rows[3:4] + 99)


def test_no_flow_is_trained_on_its_fold(monkeypatch):
    from flowaa.estimators import density_fit

    seen = {}

    def spy(chain, train, validation, counts, **rest):
        seen.update(train=train, validation=validation, counts=counts)
        return train_folds(chain, train, validation, counts, **rest)

    train_folds = density_fit.train_folds
    monkeypatch.setattr(density_fit, "train_folds", spy)
    x = np.random.default_rng(0).standard_normal((50, 2))
    flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0).fit(x)
    for train, validation, counts in zip(*seen.values(), strict=True):
        held_out = {tuple(row) for row in validation[counts > 0].round(4)}
        assert len(held_out) == 10
        assert not held_out & {tuple(row) for row in train.round(4)}


def test_a_context_moves_the_density():
    rng = np.random.default_rng(0)
    context = rng.integers(0, 2, (600, 1)).astype(float)
    x = rng.standard_normal((600, 2)) + 4 * context
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=25, random_state=0).fit(
        x, context=context)
    here, there = np.full((50, 1), 1.0), np.full((50, 1), 0.0)
    near_four = rng.standard_normal((50, 2)) + 4
    assert (model.score(near_four, context=here) > model.score(near_four, context=there) + 0.5)
    # Each row drawn is given its own context; the members without one know only the mixture.
    drawn = model.sample(1000, context=np.repeat([0.0, 1.0], 500)[:, None])
    assert model.member_weights_["flow"] > 0.3
    assert (drawn[500:].mean() - drawn[:500].mean()
            > 0.75 * 4 * model.member_weights_["flow"])
    with pytest.raises(ValueError, match="with one, give context"):
        model.score_samples(near_four)
    with pytest.raises(ValueError, match="context holds 1e\\+300 in column 0"):
        model.score_samples(near_four, context=np.where(here > 2, here, 1e300))
    with pytest.raises(ValueError, match=r"\(3, 1\)"):
        model.score_samples(near_four, context=np.ones((3, 1)))


def test_weights_count_as_rows(rows):
    is_far = rows[:, 0] > 3.0  # a sixth of them
    mean = np.average(rows[:, 0], weights=np.where(is_far, 40.0, 1.0))
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(
        rows, sample_weight=np.where(is_far, 40.0, 1.0))
    assert model.sample(2000)[:, 0].mean() == pytest.approx(mean, abs=0.4)
    # The flows too, not only the laws beside them.
    z = np.random.default_rng(0).standard_normal((500, 2))
    assert model.inverse_transform(z)[:, 0].mean() == pytest.approx(mean, abs=0.6)


def test_rows_of_weight_zero_are_as_if_left_out(rows):
    far = np.concatenate([rows, np.full((30, 2), 500.0)])
    weight = np.repeat([1.0, 0.0], [len(rows), 30])
    make = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=60, random_state=0)
    with_them = make.fit(far, sample_weight=weight).score_samples(rows[:50])
    np.testing.assert_array_equal(with_them, make.fit(rows).score_samples(rows[:50]))


def test_rows_drawn_of_a_large_table_are_said():
    x = np.random.default_rng(0).standard_normal((2**17 + 5, 1))
    with pytest.warns(FlowaaWarning, match="131072 of 131077 rows are drawn"):
        model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0).fit(x)
    assert model.score(x[:1000]) == pytest.approx(-1.42, abs=0.05)


def test_return_periods_are_those_of_rows_not_seen_whatever_the_density():
    """Of a law with a power's tail, fitted for a second: as many rows lie beyond as stated."""
    rng = np.random.default_rng(0)
    x = rng.standard_t(2, (3000, 2)) @ [[1.0, 0.5], [0.0, 1.0]]
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0).fit(x[:1000])
    period = model.return_period(x[1000:])
    for n in (2, 10, 100):
        share = 1 / n
        error = np.sqrt(share * (1 - share) * (1 / 2000 + 1 / 1000))
        assert np.mean(period >= n) == pytest.approx(share, abs=3 * error)
    far = model.return_period([[30.0, 0.0], [300.0, 0.0], [3000.0, 0.0]])
    assert (np.diff(far) > 0).all()
    assert far[0] > 30
    np.testing.assert_allclose(model.p_value(x[:5]), 1 / model.return_period(x[:5]))


def test_programs_of_estimators_are_kept_with_those_of_runs():
    assert default.get_config().training.compilation_cache == DEFAULT_FOLDER


def test_few_rows_count_and_go_no_further():
    x = np.random.default_rng(0).standard_normal((60, 2))
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0).fit(x)
    assert model.return_period([[100.0, 100.0]]) == pytest.approx(61.0)


@pytest.mark.parametrize("chosen", [None, "mine"])
def test_programs_are_kept_where_the_user_says(tmp_path, chosen):
    """In a process of its own, whose home is empty."""
    script = ("import numpy as np, flowaa; flowaa.NormalizingFlow(max_seconds=1).fit("
              "np.random.default_rng(0).random((50, 2)))")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX")}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path(flowaa.__file__).parents[1])}
    if chosen:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / chosen)
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    folder = tmp_path / (chosen or ".cache/flowaa")
    assert any(folder.iterdir())
    assert not [path for path in tmp_path.rglob("*-cache") if folder not in path.parents]


def test_a_model_is_saved_without_pickle(model, rows, tmp_path):
    model.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["arrays.npz", "model.json"]
    again = flowaa.NormalizingFlow.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows))
    np.testing.assert_array_equal(again.transform(rows), model.transform(rows))
    np.testing.assert_array_equal(again.p_value(rows), model.p_value(rows))
    assert again.member_weights_ == model.member_weights_


@pytest.mark.parametrize("damage", ["absent", "no_json", "cut", "version", "list"])
def test_a_damaged_model_is_one_line(model, tmp_path, damage):
    folder = tmp_path / "model"
    if damage != "absent":
        model.save(folder)
    if damage == "no_json":
        (folder / "model.json").write_text("{")
    if damage == "cut":
        content = (folder / "arrays.npz").read_bytes()
        (folder / "arrays.npz").write_bytes(content[:len(content) // 2])
    if damage == "version":
        described = json.loads((folder / "model.json").read_text()) | {"version": 99}
        (folder / "model.json").write_text(json.dumps(described))
    if damage == "list":
        (folder / "model.json").write_text("[]")
    with pytest.raises(UserError, match="model") as error:
        flowaa.NormalizingFlow.load(folder)
    assert "\n" not in str(error.value)


def test_constant_columns_go_and_come_back(rows):
    x = np.insert(rows, 1, 7.0, axis=1)
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(x)
    assert (model.sample(5)[:, 1] == 7.0).all()
    assert model.transform(x).shape == (400, 2)
    with pytest.warns(FlowaaWarning, match="column 1 was constant"):
        model.score_samples([[1.0, 8.0, 0.0]])


@pytest.mark.parametrize(("x", "words"), [
    ([[1.0, 2.0]], "minimum of 2"), (np.ones((9, 2)), "every column of X is constant"),
    ([["a"], ["b"], ["c"]], "convert"),
    (np.full((4, 2), np.inf), "infinity.*column 0")], ids=["one", "constant", "text", "inf"])
def test_what_is_no_table_is_refused(x, words):
    with pytest.raises(ValueError, match=words):
        flowaa.NormalizingFlow(architecture=SMALL).fit(x)


@pytest.mark.parametrize(("name", "value"), [
    ("architecture", "big"), ("max_seconds", 0), ("max_seconds", "1"),
    ("validation_fraction", 1.0)])
def test_a_wrong_parameter_is_named(rows, name, value):
    with pytest.raises(ValueError, match=name):
        flowaa.NormalizingFlow(**{name: value}).fit(rows)


def test_what_cannot_be_trusted_is_said():
    # Ten rows in eight dimensions say nothing of the tails of a ninth.
    x = np.random.default_rng(0).standard_t(1.2, (60, 8))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, random_state=0).fit(x)
    said = any("read no return periods off" in str(warning.message) for warning in caught)
    assert said == (model.radius_ks_ > 0.15)


def test_progress_goes_to_stderr(rows, capfd):
    flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1, verbose=True).fit(rows)
    out, err = capfd.readouterr()
    assert "nats" in err
    assert out == ""


@pytest.mark.slow
def test_scikit_learn_s_checks_pass():
    from sklearn.utils.estimator_checks import check_estimator

    random = "training draws batches: rows repeated and rows weighted see other ones"
    check_estimator(flowaa.NormalizingFlow(architecture=SMALL, max_seconds=1),
                    expected_failed_checks={
                        "check_sample_weight_equivalence_on_dense_data": random})


@pytest.fixture(scope="module")
def heavy_rows() -> np.ndarray:
    """Two independent t coordinates of two degrees of freedom, turned by 30 degrees."""
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    return np.random.default_rng(0).standard_t(2, (5000, 2)) @ turn


def test_tails_of_rows_that_fall_as_a_power_go_on(heavy_rows, tmp_path):
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(
        np.column_stack([np.full(len(heavy_rows), 7.0), heavy_rows]))
    assert (model.tail_index_[0] == 0).all()  # a constant
    np.testing.assert_allclose(model.tail_index_[1:], 0.5, atol=0.2)
    model = flowaa.NormalizingFlow(
        architecture=SMALL, max_seconds=2, random_state=0).fit(heavy_rows)
    assert model.member_weights_["independent_t"] > 0.5
    np.testing.assert_allclose(model.tail_index_, 0.5, atol=0.2)
    drawn = np.linalg.norm(model.sample(200_000), axis=1)
    true = np.linalg.norm(np.random.default_rng(1).standard_t(2, (2_000_000, 2)), axis=1)
    assert abs(np.log10(np.quantile(drawn, 1 - 1e-4) / np.quantile(true, 1 - 1e-4))) < 0.2
    model.save(tmp_path / "model")
    loaded = flowaa.NormalizingFlow.load(tmp_path / "model")
    far = np.array([[1e3, -1e3], [0.0, 0.0]])
    np.testing.assert_array_equal(loaded.score_samples(far), model.score_samples(far))
    np.testing.assert_array_equal(loaded.tail_index_, model.tail_index_)
    light = flowaa.NormalizingFlow(
        architecture=SMALL, tails="gaussian", max_seconds=2, random_state=0).fit(heavy_rows)
    assert set(light.member_weights_) == {"flow", "gaussian_mixture"}
    assert (light.tail_index_ == 0).all()
    assert light.score_samples(far)[0] < model.score_samples(far)[0] - 50
    light.save(tmp_path / "light")
    assert flowaa.NormalizingFlow.load(tmp_path / "light").tails == "gaussian"


def test_a_kind_of_tails_that_does_not_exist_is_one_line(rows):
    with pytest.raises(UserError, match="tails=array"):
        flowaa.NormalizingFlow(tails=np.array(["auto", "gaussian"])).fit(rows)
    with pytest.raises(UserError, match="tails='heavy': give \"auto\" or \"gaussian\""):
        flowaa.NormalizingFlow(tails="heavy").fit(rows)


def test_the_oldest_programs_leave_a_cache_that_is_too_large(tmp_path):
    for age in range(6):
        file = tmp_path / f"program{age}-cache"
        file.write_bytes(bytes(100))
        os.utime(file, (1e9 - age, 1e9 - age))
    (tmp_path / "notes.txt").write_bytes(bytes(1000))  # not JAX's
    remove_oldest(tmp_path, 600)
    assert len(list(tmp_path.iterdir())) == 7
    remove_oldest(tmp_path, 599)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "notes.txt", "program0-cache", "program1-cache"]


@pytest.fixture(scope="module")
def trees():
    """Heights by kind, widths by height, of which those of oaks are often missing."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["ash", "elm", "oak"], 1500, p=[0.2, 0.3, 0.5])
    height = np.select([kind == "ash", kind == "elm"], [10.0, 20.0], 30.0) + rng.normal(size=1500)
    width = 0.5 * height + rng.normal(size=1500)
    width[rng.random(1500) < np.where(kind == "oak", 0.4, 0.02)] = np.nan
    table = pd.DataFrame({"height": height, "width": width, "kind": kind})
    return flowaa.NormalizingFlow(architecture=SMALL, max_seconds=5, random_state=0).fit(table)


def test_categories_and_missing_values_are_drawn_in_their_shares(trees):
    drawn = trees.sample(4000)
    shares = drawn["kind"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[["ash", "elm", "oak"]], [0.2, 0.3, 0.5], atol=0.04)
    missing = drawn["width"].isna().groupby(drawn["kind"], observed=True).mean()
    np.testing.assert_allclose(missing[["ash", "elm", "oak"]], [0.02, 0.02, 0.4], atol=0.05)
    heights = drawn.groupby("kind", observed=True)["height"].mean()
    np.testing.assert_allclose(heights[["ash", "elm", "oak"]], [10, 20, 30], atol=0.6)


def test_rows_of_categories_and_missing_values_are_as_likely_as_they_are_frequent(trees, tmp_path):
    rows = pd.DataFrame({"height": [10.0, 30.0, 10.0, 30.0, 10.0],
                         "width": [5.0, np.nan, np.nan, 15.0, 5.0],
                         "kind": ["ash", "oak", "ash", "ash", "pine"]})
    usual, unseen_width, rarely_missing, wrong_kind, unknown = trees.score_samples(rows)
    assert min(usual, unseen_width) > rarely_missing > wrong_kind
    assert unknown < usual - 5
    back = trees.inverse_transform(trees.transform(rows[:2]))
    assert back["kind"].tolist() == ["ash", "oak"]
    np.testing.assert_allclose(back["width"], [5.0, np.nan], atol=1e-2)
    trees.save(tmp_path / "trees")
    again = flowaa.NormalizingFlow.load(tmp_path / "trees")
    np.testing.assert_array_equal(again.score_samples(rows), trees.score_samples(rows))
    pd.testing.assert_frame_equal(again.sample(5), trees.sample(5))


def test_a_value_missing_where_none_was_is_named(trees):
    with pytest.raises(ValueError, match="column height contains NaN, and had no missing value"):
        trees.score_samples(pd.DataFrame({"height": [np.nan], "width": [1.0], "kind": ["oak"]}))


def test_missing_values_of_arrays_and_columns_of_nothing_else(rows):
    x = np.column_stack([rows, np.full(len(rows), np.nan)])
    x[::4, 0] = np.nan
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(x)
    drawn = model.sample(2000)
    assert np.isnan(drawn[:, 0]).mean() == pytest.approx(0.25, abs=0.05)
    assert np.isfinite(drawn[:, 1]).all()
    assert np.isnan(drawn[:, 2]).all()
    assert np.isfinite(model.score_samples(x)).all()


def test_a_missing_category_is_not_one_that_was_never_seen():
    rng = np.random.default_rng(0)
    kind = rng.choice(["ash", "elm", None], 600, p=[0.5, 0.2, 0.3])
    table = pd.DataFrame({"height": rng.normal(size=600), "kind": kind})
    model = flowaa.NormalizingFlow(architecture=SMALL, max_seconds=2, random_state=0).fit(table)
    rows = pd.DataFrame({"height": [0.0, 0.0, 0.0], "kind": ["ash", None, "pine"]})
    known, missing, unseen = model.score_samples(rows)
    assert min(known, missing) > unseen + 2
    assert set(model.sample(2000)["kind"].dropna()) == {"ash", "elm"}
    assert model.sample(2000)["kind"].isna().any()
