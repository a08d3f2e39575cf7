"""A run takes any number of rows and any kind of array, and refuses what is no example."""

import logging
import re
import warnings

import jax
import numpy as np
import pytest
from scipy import stats

import flowaa
from configs import default
from flowaa.config.data import given_data
from flowaa.data.sources.given import given
from flowaa.errors import FlowaaWarning, UserError
from tests.training.tiny import config_of, image_config

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(300, 3)) * [1.0, 5.0, 0.1]


@pytest.fixture(scope="module")
def rows_run(tmp_path_factory):
    """Trained on an array in memory, and restored without it."""
    folder = tmp_path_factory.mktemp("rows") / "run"
    flowaa.train(config_of(), folder, data=ROWS)
    return flowaa.load_run(folder)


@pytest.fixture(scope="module")
def levels_run(tmp_path_factory):
    """An unconditional run of labelled images of 256 levels: nothing in it depends on labels."""
    folder = tmp_path_factory.mktemp("levels")
    config = image_config(folder / "x.npz", **{"flow.conditional": False, "flow.dropout": 0.0})
    return flowaa.train(config, folder / "run")


def test_three_lengths_compile_one_program(rows_run, caplog):
    x = RANDOM.normal(size=(700, 3))
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        found = [rows_run.log_prob(x), rows_run.log_prob(x[:5]), rows_run.log_prob(x[:300])]
    compiled = re.findall(r"Finished XLA compilation of (\S+)", caplog.text)
    assert compiled == ["jit(log_prob)"]
    for part in found[1:]:
        np.testing.assert_allclose(part, found[0][:len(part)], rtol=1e-6)


def test_results_do_not_depend_on_the_batch(rows_run, levels_run):
    x = RANDOM.normal(size=(600, 3))
    z, log_det = rows_run.encode(x)
    for rows in (slice(0, 1), slice(250, 270), slice(597, 600)):
        alone = rows_run.encode(x[rows])
        np.testing.assert_allclose(alone[0], z[rows], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(alone[1], log_det[rows], rtol=1e-5)
    key = jax.random.key(3)
    levels = RANDOM.integers(0, 256, (300, 4, 4, 1), np.uint8)
    noisy = levels_run.log_prob(levels, key=key)
    np.testing.assert_allclose(levels_run.log_prob(levels[:7], key=key), noisy[:7], rtol=1e-5)
    np.testing.assert_array_equal(levels_run.sample(key, 270)[:5], levels_run.sample(key, 5))


def test_no_rows_at_all(rows_run):
    z, log_det = rows_run.encode(np.zeros((0, 3)))
    assert (z.shape, log_det.shape) == ((0, 3), (0,))


def test_a_run_within_a_compiled_function(rows_run):
    """As its own bits, and differentiable."""
    x = RANDOM.normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(jax.jit(rows_run.log_prob)(x), rows_run.log_prob(x), rtol=1e-5)
    gradient = jax.grad(lambda x: rows_run.log_prob(x).sum())(x)
    assert np.isfinite(gradient).all()
    assert (np.asarray(gradient) != 0).any()


def test_levels_of_any_type_are_one(levels_run):
    x = RANDOM.integers(0, 256, (3, 4, 4, 1), np.uint8)
    expected = np.asarray(levels_run.log_prob(x))
    for dtype in (np.int64, np.float32, np.float64):
        np.testing.assert_array_equal(levels_run.log_prob(x.astype(dtype)), expected)


IMAGE = np.full((1, 4, 4, 1), 200)


@pytest.mark.parametrize(("call", "message"), [
    (lambda run: run.log_prob(IMAGE + 56), "256, which is no level: this run's are 0 … 255"),
    (lambda run: run.log_prob(IMAGE - 201), "-1, which is no level"),
    (lambda run: run.log_prob(IMAGE / 255), r"no levels, e.g. 0.78.*\(x \* 255\).round\(\)"),
    (lambda run: run.encode((IMAGE > 0).astype(np.float32)), "floats that are no levels"),
    (lambda run: run.encode(IMAGE * np.nan), "NaN or infinite values in row 0"),
    (lambda run: run.encode(IMAGE.astype(str)), "x has type"),
    (lambda run: run.log_prob(IMAGE, label=0), "nothing in this run depends on labels"),
    (lambda run: run.sample(jax.random.key(0), 2, label=0), "nothing in this run depends"),
    (lambda run: run.decode(np.full((1, 16), np.nan)), "z holds NaN"),
    (lambda run: run.sample(jax.random.key(0), 2.5), r"n is 2\.5; give a whole number"),
    (lambda run: run.sample(jax.random.key(0), True), "n is True"),
    (lambda run: run.sample(jax.random.key(0), 0), "at least one"),
    (lambda run: run.sample_outliers(jax.random.key(0), 2.5, extremeness=9.0), r"n is 2\.5"),
    (lambda run: run.sample(0, 2), r"key is 0; give one random key, e.g. jax.random.key\(0\)"),
    (lambda run: run.sample(jax.random.key(0), 2, temperature=float("nan")), "temperature is nan"),
    (lambda run: run.sample(jax.random.key(0), 2, temperature=float("inf")), "temperature is inf"),
    (lambda run: run.sample(jax.random.key(0), 2, temperature="hot"), "temperature is 'hot'"),
    (lambda run: run.sample(jax.random.key(0), 2, temperature=1e39), r"temperature is 1e\+39"),
    (lambda run: run.sample(jax.random.split(jax.random.key(0), 3), 2), "an array of keys"),
    (lambda run: run.log_prob(IMAGE, key=jax.random.split(jax.random.key(0))), "array of keys"),
    (lambda run: run.sample(jax.random.split(jax.random.PRNGKey(0)), 2), "give one random key"),
    (lambda run: run.bits_per_dim(np.zeros((0, 4, 4, 1))), "x holds no rows"),
    (lambda run: run.log_prob([[1, 2], [3]]), "x is no array: its rows differ in length"),
    (lambda run: run.decode([[1, 2], [3]]), "z is no array: its rows differ in length"),
    (lambda run: run.log_prob("picture"), "x has type <U7; give numbers"),
    (lambda run: run.decode("picture"), "z has type <U7; give numbers"),
    (lambda run: run.decode(np.ones((1, 16)) * 1j), "z has type complex128; give numbers"),
    (lambda run: run.sample(jax.random.key(0), 10**12), "n is 10{12}: so many draws need"),
    (lambda run: run.sample_outliers(jax.random.key(0), 10**12, extremeness=9.0),
     "need 59,605 GiB, and this machine has"),
])
def test_what_is_no_example_is_refused(levels_run, call, message):
    with pytest.raises(UserError, match=message) as caught:
        call(levels_run)
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_numpy_are_numbers(levels_run):
    assert levels_run.sample(jax.random.key(0), np.int64(2)).shape == (2, 4, 4, 1)


def test_infinite_rows_are_refused(rows_run):
    with pytest.raises(UserError, match=r"row 1 \(from 0\) and 1 others"):
        rows_run.log_prob([[0, 0, 0], [np.inf, 0, 0], [1e60, 0, 0]])


def test_repr_is_five_lines(rows_run, levels_run):
    lines = repr(levels_run).splitlines()
    assert len(lines) == len(repr(rows_run).splitlines()) == 5
    assert f"step {levels_run.step} of 8" in lines[0]
    assert "(4, 4, 1), levels 0 … 255, 3 classes" in lines[1]
    assert f"{levels_run.summary['test/bits_per_dim']:.3f} bits/dim" in lines[4]
    assert "given" in repr(rows_run)


def test_data_in_memory_is_split_as_a_file_is(tmp_path, rows_run):
    """The same run, bit for bit, as from an `.npz` of the same arrays."""
    np.savez(tmp_path / "rows.npz", x=ROWS)
    config = config_of(**{"data.name": "arrays", "data.path": str(tmp_path / "rows.npz")})
    from_file = flowaa.train(config, tmp_path / "run")
    assert from_file.summary["test/nll"] == rows_run.summary["test/nll"]


@pytest.mark.parametrize("size", [1e10, 1e20, 1e38, -1e38])
def test_rows_far_out_are_improbable_and_no_nan(rows_run, size):
    """Of a Gaussian-like density it is −x²/2: beyond float32, so −inf, and finite below."""
    x = ROWS[:4].copy()
    x[1] = x[2, 1] = size
    log_prob = np.asarray(rows_run.log_prob(x))
    assert (log_prob[1:3] < -1e10).all()
    assert np.isfinite(log_prob[[0, 3]]).all()
    np.testing.assert_allclose(log_prob[[0, 3]], rows_run.log_prob(ROWS[[0, 3]]), rtol=1e-5)
    for score in ("nll", "latent_norm"):
        found = np.asarray(rows_run.outlier_score(x, score))
        assert found[1:3].min() > found[[0, 3]].max()


def test_data_that_a_config_names_beside_the_given_is_told(tmp_path):
    config = config_of(**{"data.name": "digits"})
    with pytest.warns(FlowaaWarning, match=r"takes the place of .* \(data.name='digits'\)") as said:
        run = flowaa.train(config, tmp_path / "run", data=ROWS)
    assert sum("takes the place" in str(one.message) for one in said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", FlowaaWarning)
        for quiet in (run.config, config_of()):
            given_data(quiet, ROWS)


def labels() -> np.ndarray:
    return np.arange(300) % 3


@pytest.mark.parametrize("data", [
    (ROWS, labels()),
    {"x": ROWS, "y": labels()},
    {"x": ROWS[:200], "y": labels()[:200], "x_test": ROWS[200:], "y_test": labels()[200:]},
])
def test_labels_in_memory(tmp_path, data):
    run = flowaa.train(config_of(**{"flow.base": "class_mixture"}), tmp_path, data=data)
    assert run.spec.n_classes == 3
    assert run.uses_labels


def test_a_table_of_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(ROWS, columns=["a", "b", "c"])
    run = flowaa.train(config_of(), tmp_path, data=table)
    np.testing.assert_allclose(run.spec.std, ROWS.std(0), rtol=0.2)


@pytest.mark.parametrize("dtype", ["float64", "Float64", "Int64", "object"])
def test_missing_values_of_pandas_are_told_with_their_column(tmp_path, dtype):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"height": np.arange(300.0), "age": np.arange(300.0)})
    table["age"] = table["age"].astype(dtype)
    table.loc[7, "age"] = None
    with pytest.raises(UserError, match="data: x has 1 missing values, the first in column age"):
        flowaa.train(config_of(), tmp_path / "run", data=table)
    assert not (tmp_path / "run").exists()


def test_nullable_columns_without_missing_values_are_numbers():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(ROWS).astype({0: "Float64"})
    dataset = given({"x": table, "y": pandas.Series(labels(), dtype="Int64")}, seed=0,
                    validation_fraction=0.2, test_fraction=0.2)
    assert (dataset.spec.shape, dataset.spec.n_classes) == ((3,), 3)


@pytest.mark.parametrize(("config", "kind"), [
    ({"seed": 0}, "dict"), (default, "module"), ("configs/default.py", "str")])
def test_what_is_no_config_is_told_in_one_line(tmp_path, config, kind):
    with pytest.raises(UserError, match=f"config is of type {kind}; give a ConfigDict") as caught:
        flowaa.train(config, tmp_path / "run", data=ROWS)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def with_a_hole(value):
    rows = ROWS.astype(object)
    rows[7, 1] = value
    return rows


@pytest.mark.parametrize(("data", "message"), [
    (ROWS * np.nan, "data: x"),
    ((ROWS, labels()[1:]), "data: y has shape"),
    ((ROWS, labels(), ROWS), "a tuple of 3"),
    ({"rows": ROWS}, "data has the keys rows"),
    ([ROWS, labels()], r"data is a list of two; give a tuple \(x, y\)"),
    ({0: ROWS}, "data has the key 0, which is no text"),
    (np.ma.masked_less(ROWS, 0.0), "data: x is a masked array with .* missing values"),
    ({"x": [[1.0, 2.0], [3.0], [4.0]]}, "data: x is no array"),
    (ROWS[:2], "too few"),
    (with_a_hole(None), r"data: x has no value in row 7, column 1 \(from 0\): it is None"),
    ({"x": ROWS, "y": ["a"] * 299 + [None]}, r"data: y has no value in row 299 \(from 0\)"),
    ({"x": ROWS, "context": with_a_hole(np.nan)}, "data: context has no value in row 7, column 1"),
])
def test_data_in_memory_that_is_wrong_writes_nothing(tmp_path, data, message):
    with pytest.raises(UserError, match=message):
        flowaa.train(config_of(), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


def test_a_table_smaller_than_the_batch_is_trained_on_whole(tmp_path):
    data = {"X": ROWS, "y": labels()}
    with pytest.warns(FlowaaWarning, match=r"a batch of 1024 rows is larger than the \d+ training"):
        run = flowaa.train(config_of(**{"training.batch_size": 1024}), tmp_path, data=data)
    assert np.isfinite(run.summary["test/nll"])


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    flowaa.train(config_of(), tmp_path, data=ROWS)
    flowaa.train(config_of(), tmp_path, data=ROWS)  # is finished
    with pytest.raises(UserError, match=r"data\.path \(the run was trained on other data\)"):
        flowaa.train(config_of(), tmp_path, data=ROWS + 1)


def test_a_saved_run_is_the_same_run(tmp_path, rows_run, levels_run):
    x = RANDOM.normal(size=(20, 3))
    rows_run.save(tmp_path / "rows")
    restored = flowaa.load_run(tmp_path / "rows")
    np.testing.assert_array_equal(restored.log_prob(x), rows_run.log_prob(x))
    assert repr(restored) == repr(rows_run)
    levels_run.save(tmp_path / "levels")
    np.testing.assert_array_equal(flowaa.load_run(tmp_path / "levels").sample(jax.random.key(0), 9),
                                  levels_run.sample(jax.random.key(0), 9))
    with pytest.raises(UserError, match="another config"):
        rows_run.save(tmp_path / "levels")


def test_a_saved_run_keeps_its_archetypes(tmp_path):
    run = flowaa.train(config_of(**{"archetypes.n_archetypes": 3}), tmp_path / "run", data=ROWS)
    run.save(tmp_path / "saved")
    restored = flowaa.load_run(tmp_path / "saved")
    np.testing.assert_array_equal(restored.archetype_weights(ROWS), run.archetype_weights(ROWS))
    assert "archetypes: 3" in repr(restored)
    assert len(repr(restored).splitlines()) == 5


def test_rows_have_noise_of_their_own(levels_run):
    """Equal rows are dequantised differently."""
    found = np.asarray(levels_run.log_prob(np.repeat(IMAGE, 5, 0), key=jax.random.key(0)))
    assert len(np.unique(found)) == 5


def test_draws_are_those_of_the_latent_law(rows_run):
    """Encoded again they are standard normal (Kolmogorov-Smirnov), each another one."""
    x = rows_run.sample(jax.random.key(5), 400)
    assert len(np.unique(np.asarray(x), axis=0)) == 400
    z = np.asarray(rows_run.encode(x)[0])
    for column in z.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
