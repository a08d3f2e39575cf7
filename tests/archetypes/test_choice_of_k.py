"""The choice of the number of archetypes, its pictures, and the command that makes them."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_iris

from configs import default
from experiments import archetypes as command
from flowaa.archetypes import Selection, choose_n_archetypes
from flowaa.archetypes.classical.search import Settings
from flowaa.archetypes.classical.selection import _least_within_an_error, _shift
from flowaa.config.data import build_data
from flowaa.errors import UserError
from flowaa.figures import archetypes as figures
from tests.archetypes.test_fits import CORNERS, ROWS


@pytest.mark.slow
def test_the_elbow_is_at_the_number_of_corners():
    rows = np.concatenate([ROWS, np.tile(CORNERS, (10, 1))])  # no sample is without corners
    found = choose_n_archetypes(rows, (1, 2, 3, 8), n_bootstraps=3)
    assert found.elbow == found.by_stability == 3
    assert (np.diff(found.explained_variance) > -1e-3).all()
    assert abs(found.explained_variance[0]) < 1e-4  # one archetype is the mean
    shift = found.shift.mean(1)
    assert shift[2] < 0.05
    assert shift[3] > 3.0 * shift[2]  # archetypes beyond the corners are nowhere at home


def test_held_out_rows_are_explained_less():
    """Noise in eight features, of which archetypes of twenty rows explain their own."""
    rows = np.random.default_rng(0).normal(size=(20, 8))
    settings = Settings(1, n_init=2)
    found = choose_n_archetypes(rows, [6], settings=settings, n_bootstraps=3)
    assert (found.held_out < found.explained_variance - 0.2).all()
    assert found.seed_shift.shape == found.by_chance.shape == (1,)
    # Noise has no corners: permuted, it is explained as well, and so are rows left out.
    assert abs(found.by_chance[0] - found.explained_variance[0]) < 0.15
    assert (found.held_out_by_chance < found.by_chance - 0.2).all()
    assert abs(found.gap[0]) < 0.5


def test_what_a_number_is_found_worth_does_not_depend_on_the_others():
    settings = Settings(1, n_init=2)
    rows = np.concatenate([ROWS[:100], np.tile(CORNERS, (5, 1))])  # no sample is without corners
    alone, among = (choose_n_archetypes(rows, numbers, settings=settings, n_bootstraps=2)
                    for numbers in ([3], [2, 3]))
    for name in ("explained_variance", "by_chance", "held_out", "held_out_by_chance", "shift",
                 "shift_by_chance", "seed_shift", "gap"):
        np.testing.assert_array_equal(getattr(alone, name)[0], getattr(among, name)[1], name)
    assert among.elbow == among.by_stability == 3
    # Three corners stay, whichever rows are drawn, and three of permuted rows do not.
    assert among.shift[1].mean() < 0.5 * among.shift_by_chance[1].mean()
    without = choose_n_archetypes(rows, [2], settings=settings, n_bootstraps=0)
    assert without.by_stability is None
    np.testing.assert_allclose(
        without.gap, np.log((1 - without.by_chance) / (1 - without.explained_variance)))


def test_other_seeds_find_the_same_archetypes_of_iris():
    found = choose_n_archetypes(load_iris().data, [3], n_bootstraps=0)
    assert found.seed_shift[0] < 0.02


def test_the_smallest_number_within_a_standard_error():
    """Held out, four archetypes leave 5 % less than three: told only if samples agree on it."""
    three = np.array([0.2, 0.21, 0.19, 0.2])
    left = np.stack([np.full(4, 0.5), three, 0.95 * three])
    chance = np.full((3, 4), 0.5)
    found = Selection(
        np.array([2, 3, 4]), 1 - left[:, 0], 1 - chance[:, 0], 1 - left, 1 - chance,
        np.zeros((3, 4)), np.ones((3, 4)), np.zeros(3), 2, None)
    np.testing.assert_allclose(found.gap[0], 0.0, atol=1e-12)
    noise = np.array([[1.0] * 4, [1.0] * 4, [0.8, 1.2, 0.9, 1.1]])
    noisy = dataclasses.replace(found, held_out=1 - left * noise)
    assert [_least_within_an_error(one) for one in (found, noisy)] == [4, 3]


@pytest.mark.slow
def test_the_number_suggested_does_not_depend_on_the_range():
    settings = Settings(1, n_init=2)
    suggested = [choose_n_archetypes(ROWS, numbers, settings=settings, n_bootstraps=0).elbow
                 for numbers in ((2, 3, 4), (2, 3, 4, 8), (3, 4))]
    assert suggested == [3, 3, 3]


def test_the_shift_of_archetypes_knows_no_order():
    archetypes = np.random.default_rng(0).normal(size=(6, 4))
    assert _shift(archetypes, archetypes[::-1]) == 0.0
    np.testing.assert_allclose(_shift(archetypes, archetypes[[3, 0, 2, 1, 5, 4]] + 1e-3), 2e-3)


@pytest.mark.parametrize(("rows", "candidates"), [
    (ROWS, []), (ROWS, [0, 2]), (ROWS[:3], [4]), (ROWS[:0], [1]), (ROWS[0], [1]),
    (np.full((3, 2), np.nan), [1]),
])
def test_choices_that_cannot_be(rows, candidates):
    with pytest.raises(ValueError, match="give "):
        choose_n_archetypes(rows, candidates)


@pytest.mark.parametrize(("given", "said"), [
    ({"candidates": 2.5}, "candidates is 2.5"), ({"candidates": [2.5]}, "whole numbers"),
    ({"candidates": [np.nan]}, "candidates is"), ({"candidates": "ab"}, "candidates is ab"),
    ({"candidates": [True]}, "candidates is"), ({"candidates": None}, "candidates has no value"),
    ({"n_bootstraps": -1}, "n_bootstraps is -1"), ({"n_bootstraps": 1.5}, "n_bootstraps is 1.5"),
    ({"seed": "a"}, "seed is a"), ({"x": None}, "x has no value"), ({"x": [["a"]]}, "type <U1"),
    ({"x": [[1, None]]}, "no value in row 0, column 1"), ({"x": [[1], [1, 2]]}, "differ in length"),
    ({"settings": Settings(1, n_init=0)}, "n_init=0"), ({"settings": "als"}, "settings is als"),
    ({"settings": Settings(1, tol=np.nan)}, "tol=nan"),
    ({"settings": Settings(1, loss=[])}, "loss="),
])
def test_arguments_of_the_choice(given, said):
    with pytest.raises(UserError, match=said) as caught:
        choose_n_archetypes(**{"x": ROWS, "candidates": [2], "n_bootstraps": 0, **given})
    assert "\n" not in str(caught.value)


def ink(path) -> float:
    """Share of the picture that is not white."""
    picture = np.asarray(Image.open(path).convert("L"))
    return float((picture < 250).mean())


def test_pictures_of_little_data(tmp_path):
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(12), 30)
    figures.save_weight_bars(tmp_path / "bars.png", weights, ())
    figures.save_plane(tmp_path / "line.png", np.arange(6.0).reshape(3, 2), np.zeros((1, 2)))
    settings = Settings(1, n_init=2)
    for name, n_bootstraps in (("one", 0), ("two", 2)):
        figures.save_selection(tmp_path / f"{name}.png", choose_n_archetypes(
            ROWS[:20], [2], settings=settings, n_bootstraps=n_bootstraps))
    assert all(ink(path) > 0.005 for path in tmp_path.glob("*.png"))
    with pytest.raises(ValueError, match="N names"):
        figures.save_weight_bars(tmp_path / "wrong.png", weights, ["one"])
    with pytest.raises(ValueError, match="not \\[N"):
        figures.save_plane(tmp_path / "wrong.png", ROWS, ROWS[:3])
    assert not (tmp_path / "wrong.png").exists()


@pytest.mark.parametrize(("data", "pictures"), [
    ("digits", {"simplex", "weights", "archetypes"}),
    ("moons", {"simplex", "weights", "plane", "selection"}),
    ("keller", {"simplex", "weights"}),
])
def test_the_command_writes_what_it_says(data, pictures, tmp_path):
    config = default.get_config("smoke")
    config.data.name = data
    config.archetypal_analysis.n_archetypes = 3
    config.archetypal_analysis.max_rows = 200
    if "selection" not in pictures:
        config.archetypal_analysis.choose_up_to = 0
    summary = command.analyse(config.lock(), str(tmp_path))
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["n_rows"] <= 200
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == pictures
    assert all(ink(path) > 0.005 for path in (tmp_path / "figures").glob("*.png"))
    arrays = np.load(tmp_path / "archetypes.npz")
    assert arrays["weights"].shape == (summary["n_rows"], 3)
    rows = build_data(config).train.x[arrays["rows"]]
    rows = np.asarray(rows, np.float32).reshape(len(rows), -1)
    np.testing.assert_allclose(arrays["data_weights"] @ rows, arrays["archetypes"], atol=1e-3)


@pytest.mark.parametrize(("key", "value", "words"), [
    ("init", "kmeans", "furthest_sum"),
    ("loss", "l1", "bisquare"), ("trim", 1.0, "less than 1"), ("choose_up_to", 0, "n_archetypes"),
    ("n_archetypes", 1000, "fewer|no more"),
])
def test_configs_that_cannot_be(key, value, words, tmp_path):
    config = default.get_config("smoke")
    config.archetypal_analysis[key] = value
    with pytest.raises(UserError, match=words):
        command.analyse(config.lock(), str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
