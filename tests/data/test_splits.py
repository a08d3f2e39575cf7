"""Splits: every row once, classes in proportion, no row favoured; and the moments of data."""

import numpy as np
import pytest

from flowaa.data import rows as rows_module
from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe, moments
from flowaa.data.seeding import Stream, generator
from flowaa.data.splitting import complete, draw_part, frame_ranges, save_record
from flowaa.errors import UserError

TEST = Stream.TEST_SPLIT


@pytest.mark.parametrize(("n_rows", "fraction"), [(2, 0.5), (3, 0.01), (100, 0.99), (1797, 0.1)])
def test_a_split_has_every_row_once(n_rows, fraction):
    rest, part = draw_part(n_rows, fraction, seed=3, stream=TEST)
    assert len(part) == max(1, round(fraction * n_rows))
    assert sorted([*rest, *part]) == list(range(n_rows))


def test_classes_of_any_size_keep_their_share():
    sizes = np.array([500, 61, 30, 7, 2])
    labels = generator(0, Stream.ROWS).permutation(np.repeat(np.arange(5), sizes))
    for seed in range(20):
        _, part = draw_part(len(labels), 0.2, seed=seed, stream=TEST, labels=labels)
        assert (np.abs(np.bincount(labels[part], minlength=5) - 0.2 * sizes) <= 1).all()


def test_no_row_is_favoured():
    n_rows, n_part, n_seeds = 30, 6, 3000
    labels = np.repeat([0, 1, 2], [17, 9, 4])
    counts = np.zeros(n_rows)
    for seed in range(n_seeds):
        counts[draw_part(n_rows, 0.2, seed=seed, stream=TEST, labels=labels)[1]] += 1
    expected = n_seeds * n_part / n_rows
    # Five standard deviations of a binomial count, 30 counts.
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected * (1 - n_part / n_rows))


def test_a_split_depends_on_seed_and_purpose_alone():
    first, again = (draw_part(100, 0.2, seed=1, stream=TEST)[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other_seed = draw_part(100, 0.2, seed=2, stream=TEST)[1]
    other_purpose = draw_part(100, 0.2, seed=1, stream=Stream.VALIDATION_SPLIT)[1]
    assert set(first) != set(other_seed)
    assert set(first) != set(other_purpose)


@pytest.mark.parametrize(("n_rows", "fraction", "message"), [
    (1, 0.5, "too few"), (10, 0.99, "too few"), (10, 0.0, "test_fraction"),
    (10, 1.0, "test_fraction"), (10, -0.1, "test_fraction"), (10, float("nan"), "test_fraction")])
def test_an_impossible_split_ends_in_one_line(n_rows, fraction, message):
    with pytest.raises(UserError, match=message):
        draw_part(n_rows, fraction, seed=0, stream=TEST)


def test_a_negative_seed_ends_in_one_line():
    with pytest.raises(UserError, match=r"config\.seed"):
        draw_part(10, 0.5, seed=-1, stream=TEST)


def test_the_record_names_rows_of_the_source(tmp_path):
    rows = Split(np.arange(50, dtype=np.float32)[:, None])
    train, validation, test = complete({"train": rows}, seed=0, test_fraction=0.2,
                                       validation_fraction=0.25)
    dataset = Dataset("numbers", describe(train, n_levels=0), train, validation, test)
    assert save_record(dataset, tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as record:
        for name, split in (("train", train), ("validation", validation), ("test", test)):
            np.testing.assert_array_equal(record[name], split.x[:, 0])
    given = Dataset("given", dataset.spec, rows, rows, rows)
    assert not save_record(given, tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()


def test_given_splits_are_kept_and_the_others_come_from_the_training_rows():
    rows = Split(np.arange(50)[:, None], np.arange(50) % 2)
    given = {"train": rows, "test": Split(np.arange(100, 104)[:, None], np.zeros(4, int))}
    train, validation, test = complete(given, seed=0, test_fraction=0.2, validation_fraction=0.2)
    assert test is given["test"]
    assert (len(train), len(validation)) == (40, 10)
    assert sorted([*train.x[:, 0], *validation.x[:, 0]]) == list(range(50))
    np.testing.assert_array_equal(train.y, train.x[:, 0] % 2)


@pytest.mark.parametrize(("sizes", "gap", "lost"), [
    ((1300, 800, 2000), 10, 20), ((100,) * 5, 10, 20), ((14,) * 40, 10, 4)])
def test_no_two_neighbouring_frames_are_in_different_splits(sizes, gap, lost):
    # Numbers with holes, in any order.
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    frames = np.concatenate([np.arange(size) + 3 * (np.arange(size) > size // 2)
                             for size in sizes])
    shuffled = random.permutation(len(groups))
    groups, frames = groups[shuffled], frames[shuffled]
    for seed in range(5):
        parts = frame_ranges(groups, frames, seed=seed, test_fraction=0.2,
                             validation_fraction=0.1, gap=gap)
        split = np.full(len(groups), -1)
        for index, rows in enumerate(parts):
            assert (split[rows] == -1).all()
            split[rows] = index
        assert 0 < (split == -1).sum() <= lost * len(sizes)
        assert abs(len(parts[2]) / len(groups) - 0.2) < 0.02
        assert abs(len(parts[1]) / len(groups) - 0.08) < 0.02
        for group, size in enumerate(sizes):
            of_group = (groups == group) & (split >= 0)
            number, part = frames[of_group], split[of_group]
            close = np.abs(number[:, None] - number) <= (gap if size >= 100 else 2)
            assert not (close & (part[:, None] != part)).any()
    # Which end is held out for the test is not the same everywhere.
    ends = {np.mean(frames[parts[2]][groups[parts[2]] == group]) > size / 2
            for group, size in enumerate(sizes)}
    assert len(sizes) < 5 or ends == {True, False}


@pytest.mark.parametrize("chunk_rows", [3, 1000])
def test_moments_are_numpys_also_far_from_zero(monkeypatch, chunk_rows):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", chunk_rows)
    x = np.random.default_rng(0).standard_normal((100, 4, 5, 3)) + np.array([0.0, 1e3, 1e8])
    mean, std = moments(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(std, x.std((0, 1, 2)), rtol=1e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, 3e7])
def test_a_constant_feature_has_deviation_one(monkeypatch, value):
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 7)
    x = np.stack([np.full(50, value), np.arange(50)], axis=1).astype(np.float32)
    _, std = moments(x)
    assert std[0] == 1.0
    np.testing.assert_allclose(std[1], x[:, 1].std(), rtol=1e-6)
