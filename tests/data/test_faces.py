"""The drawn set: who is in it, that it is the same again, and that its truth is the truth."""

import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import stats

from configs import default
from flowaa.config.data import build_data
from flowaa.data.drawing.expressions import EXTREMES
from flowaa.data.drawing.face import draw_faces
from flowaa.data.drawing.population import CONCENTRATION, draw_population
from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.data.sources.faces import faces
from flowaa.errors import UserError

N_ROWS = 84
SPLITS = {"validation_fraction": 0.1, "test_fraction": 0.2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faces")


def load(folder, **changes):
    options = {"label": "character", "image_size": 16, "n_rows": N_ROWS, "nuisance": 1.0, "seed": 0}
    return faces(dir=str(folder), **{**options, **SPLITS, **changes})


def all_rows(dataset):
    """x, y and side of all splits, in the order in which they were drawn."""
    splits = (dataset.train, dataset.validation, dataset.test)
    order = np.argsort(np.concatenate([split.source_rows for split in splits]))
    return tuple(np.concatenate([getattr(split, name) for split in splits])[order]
                 for name in ("x", "y", "side"))


def test_every_character_shows_every_expression_equally_often():
    people = draw_population(42 * 50, seed=0, nuisance=1.0)
    counts = np.zeros((6, 7), int)
    np.add.at(counts, (people.characters, people.expressions), 1)
    assert (counts == 50).all()


def test_weights_follow_their_law_and_emotions_are_the_largest():
    people = draw_population(42 * 400, seed=0, nuisance=1.0)
    np.testing.assert_allclose(people.weights.sum(1), 1.0, atol=1e-6)
    neutral = people.expressions == EXPRESSION_NAMES.index("neutral")
    assert np.abs(people.weights[neutral] - 1 / 6).max() < 0.2
    emotions = np.array([EXTREMES.index(EXPRESSION_NAMES[expression])
                         for expression in people.expressions[~neutral]])
    weights = people.weights[~neutral].astype(float)
    np.testing.assert_array_equal(weights.argmax(1), emotions)
    # All emotions together are a plain Dirichlet sample, whose marginals are beta laws.
    marginal = stats.beta(CONCENTRATION, 5 * CONCENTRATION)
    for k in range(6):
        assert stats.kstest(weights[:, k], marginal.cdf).pvalue > 1e-3
    # Rows near every corner: without them, no method could tell where it is.
    assert (np.bincount(emotions[weights.max(1) > 0.98], minlength=6) > 30).all()


def test_poses_grow_with_nuisance_and_keep_within_bounds():
    still, usual, wild = (draw_population(2000, seed=0, nuisance=nuisance).pose
                          for nuisance in (0.0, 1.0, 2.0))
    assert (still.tilt == 0).all()
    assert (still.scale == 1).all()
    for name, bound in (("tilt", np.deg2rad(4)), ("shift_x", 0.03), ("shift_y", 0.03)):
        np.testing.assert_allclose(np.abs(getattr(usual, name)).max(), bound, rtol=0.01)
        np.testing.assert_allclose(getattr(wild, name), 2 * getattr(usual, name), rtol=1e-6)


def test_without_nuisance_images_are_drawn_of_nothing_but_their_labels_and_weights(folder):
    dataset = load(folder, nuisance=0.0)
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [60, 7, 17]
    for split in (dataset.train, dataset.validation, dataset.test):
        assert (split.x.dtype, split.y.dtype, split.side.dtype) == (np.uint8, np.int32, np.float32)
        np.testing.assert_array_equal(draw_faces(split.y, split.side, image_size=16), split.x)
    assert dataset.spec.shape == (16, 16, 3)
    assert (dataset.spec.n_levels, dataset.spec.n_classes) == (256, 6)
    assert dataset.spec.class_names == CHARACTER_NAMES
    assert dataset.spec.side_names == EXTREMES


def test_the_same_seed_draws_the_same_set_and_another_seed_another(folder, tmp_path):
    first, elsewhere, other = load(folder), load(tmp_path), load(folder, seed=1)
    for split in ("train", "validation", "test"):
        for name in ("x", "y", "side", "source_rows"):
            np.testing.assert_array_equal(getattr(getattr(first, split), name),
                                          getattr(getattr(elsewhere, split), name))
    x, _, side = all_rows(first)
    other_x, _, other_side = all_rows(other)
    assert not np.isin(side[:, 0], other_side[:, 0]).any()
    assert not (x == other_x).all((1, 2, 3)).any()


def test_sets_of_another_size_number_or_nuisance_lie_apart(folder):
    x, _, side = all_rows(load(folder))
    assert all_rows(load(folder, image_size=24))[0].shape == (N_ROWS, 24, 24, 3)
    np.testing.assert_array_equal(all_rows(load(folder, image_size=24))[2], side)
    assert len(all_rows(load(folder, n_rows=126))[0]) == 126
    assert not np.array_equal(all_rows(load(folder, nuisance=0.0))[0], x)
    np.testing.assert_array_equal(all_rows(load(folder))[0], x)


def test_labels_are_characters_or_expressions_of_the_same_images(folder):
    x, characters, side = all_rows(load(folder))
    again, expressions, same_side = all_rows(load(folder, label="expression"))
    np.testing.assert_array_equal(again, x)
    np.testing.assert_array_equal(same_side, side)
    people = draw_population(N_ROWS, seed=0, nuisance=1.0)
    np.testing.assert_array_equal(characters, people.characters)
    np.testing.assert_array_equal(expressions, people.expressions)
    assert load(folder, label="expression").spec.class_names == EXPRESSION_NAMES


def test_a_prepared_set_is_not_drawn_again(folder, monkeypatch):
    load(folder)
    monkeypatch.setattr("flowaa.data.sources.faces_builder.draw_faces", None)
    load(folder)


def test_two_processes_may_prepare_the_same_set_at_once(tmp_path, monkeypatch):
    from flowaa.data.sources import faces_builder

    draw, others = faces_builder.draw_faces, []

    def draw_while_another_process_finishes(*args, **options):
        if not others:
            others.append(None)
            others[0] = load(tmp_path)
        return draw(*args, **options)

    monkeypatch.setattr(faces_builder, "draw_faces", draw_while_another_process_finishes)
    mine = load(tmp_path)
    np.testing.assert_array_equal(mine.train.x, others[0].train.x)
    assert not list(tmp_path.rglob("*incomplete*"))


def test_an_interrupted_preparation_leaves_nothing_half_done(tmp_path, monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("flowaa.data.sources.faces_builder.draw_faces", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load(tmp_path)
    assert len(all_rows(load(tmp_path))[0]) == N_ROWS


@pytest.mark.parametrize(("changes", "message"), [
    ({"label": "hair"}, "character or expression"), ({"image_size": 4}, "image_size"),
    ({"n_rows": 41}, "42 or more"), ({"nuisance": -1.0}, "nuisance"),
    ({"nuisance": float("nan")}, "nuisance"), ({"seed": -1}, "config.seed")])
def test_an_unusable_argument_ends_in_one_line(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path, **changes)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_ends_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"config\.data\.dir") as error:
        load(tmp_path / "file")
    assert "\n" not in str(error.value)


def test_faces_need_no_tensorflow_and_announce_nothing(tmp_path):
    program = ("import sys\n"
               "from flowaa.data.sources.faces import faces\n"
               f"d = faces(dir={str(tmp_path)!r}, label='character', image_size=8, n_rows=60, "
               "nuisance=1.0, seed=0, validation_fraction=0.1, test_fraction=0.2)\n"
               "print(len(d.train), len(d.validation), len(d.test), "
               "'tensorflow' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=False)
    assert (done.stdout, done.stderr) == ("43 5 12 False\n", "")


def test_faces_are_configured_by_the_config(tmp_path):
    config = default.get_config()
    config.seed = 3
    config.data.update(name="faces", dir=str(tmp_path), n_rows=126, image_size=16,
                       label="expression")
    dataset = build_data(config)
    assert (dataset.spec.n_classes, dataset.spec.shape) == (7, (16, 16, 3))
    assert len(dataset.train) == round(126 * 0.8 * 0.9)
    config.data.update(label="character", nuisance=0.0)
    assert build_data(config).spec.n_classes == 6
    assert {path.name for path in (tmp_path / "faces").glob("*px*")} == {
        "16px_n126_nuisance1_seed3", "16px_n126_nuisance0_seed3"}


@pytest.mark.slow
@pytest.mark.parametrize("image_size", [32, 64])
def test_twenty_thousand_faces_take_less_than_a_minute(tmp_path, image_size):
    began = time.process_time()  # of all threads, so that one idle core would do
    load(tmp_path, image_size=image_size, n_rows=20_000)
    assert time.process_time() - began < 60.0
