"""Splits: every row once, classes in proportion, no row favoured; and the moments of data."""

import numpy as np
import pytest

from flowaa.data import rows
from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe, moments
from flowaa.data.seeding import Stream, generator
from flowaa.data.splitting import draw_part, hold_out_test, hold_out_validation, save_record
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
    with pytest.raises(UserError, match=r"--config\.seed"):
        draw_part(10, 0.5, seed=-1, stream=TEST)


def test_the_record_names_rows_of_the_source(tmp_path):
    rows = Split(np.arange(50, dtype=np.float32)[:, None])
    rest, test = hold_out_test(rows, test_fraction=0.2, seed=0)
    train, validation = hold_out_validation(rest, validation_fraction=0.25, seed=0)
    dataset = Dataset("numbers", describe(train, n_levels=0), train, validation, test)
    assert save_record(dataset, tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as record:
        for name, split in (("train", train), ("validation", validation), ("test", test)):
            np.testing.assert_array_equal(record[name], split.x[:, 0])
    given = Dataset("given", dataset.spec, rows, rows, rows)
    assert not save_record(given, tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()


@pytest.mark.parametrize("chunk_rows", [3, 1000])
def test_moments_are_numpys_also_far_from_zero(monkeypatch, chunk_rows):
    monkeypatch.setattr(rows, "CHUNK_ROWS", chunk_rows)
    x = np.random.default_rng(0).standard_normal((100, 4, 5, 3)) + np.array([0.0, 1e3, 1e8])
    mean, std = moments(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(std, x.std((0, 1, 2)), rtol=1e-7)


@pytest.mark.parametrize("value", [0.0, 0.1, 3e7])
def test_a_constant_feature_has_deviation_one(monkeypatch, value):
    monkeypatch.setattr(rows, "CHUNK_ROWS", 7)
    x = np.stack([np.full(50, value), np.arange(50)], axis=1).astype(np.float32)
    _, std = moments(x)
    assert std[0] == 1.0
    np.testing.assert_allclose(std[1], x[:, 1].std(), rtol=1e-6)
