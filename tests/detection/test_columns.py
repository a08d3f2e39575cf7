"""Units, ranges and constant features of a table, against what leaving a row out says."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from flowaa.detection.tables.columns import fit_columns
from flowaa.detection.tables.units import (
    bulk,
    deviations,
    power_of_two,
    ranges,
    shares_unit,
)

RNG = np.random.default_rng(0)


def test_own_evidence_of_new_values_is_that_of_fits_without_the_row():
    x = np.column_stack([
        RNG.normal(size=9), np.full(9, 4.0), np.arange(9) == 2, np.arange(9) != 5,
        np.where(np.arange(9) == 5, -3e-8, 0.0), np.arange(9) < 2, np.arange(9) == 7])
    alone = [fit_columns(np.delete(x, row, 0)).novelty(x[row:row + 1])[0] for row in range(9)]
    np.testing.assert_allclose(fit_columns(x).own_novelty(), alone)
    expected = np.ones(9)
    expected[[2, 7]] = 9 / 3  # two of the 8 others have as many new values
    expected[5] = 9 / 3 * 9  # which has one more than they
    np.testing.assert_allclose(np.exp(alone), expected)


def test_new_values_are_evidence_as_seldom_as_it_says():
    """Of 300 features some 200 never vary in training, and a third of new rows differ in some."""
    levels = np.arange(1, 6)
    shares = []
    for _ in range(5):
        rows = RNG.random((2_200, 300)) < 0.002
        columns = fit_columns(rows[:200].astype(float))
        evidence = columns.novelty(rows[200:].astype(float))
        assert (evidence > 0).mean() > 0.2
        shares.append([(evidence >= level).mean() for level in levels])
    chance = np.exp(-levels)
    error = np.sqrt(chance * (1 / 1_000 + 1 / 10_000))
    assert (np.mean(shares, 0) < chance + 3.5 * error).all()


def test_few_far_values_do_not_set_a_range():
    x = RNG.uniform(size=(500, 4))
    x[:, 3] = x[:, 3] > 0.9  # half of it is equal: there is no reach to measure by
    np.testing.assert_allclose(ranges(x), np.ptp(x, axis=0))
    x[0, :2], x[:50, 2] = [60.0, -1e6], 60.0  # one in ten far off is how the third one is
    found = ranges(x)
    assert (found[:2] < 12).all()
    np.testing.assert_allclose(found[2:], np.ptp(x[:, 2:], axis=0))


def test_levels_of_one_scale_are_told_from_other_columns():
    pixels = load_digits().data
    assert shares_unit(pixels)
    assert shares_unit(np.where(RNG.random(pixels.shape) < 0.1, np.nan, pixels))
    assert not shares_unit(pixels[:, 28:34])  # few columns may be alike by chance
    assert not shares_unit(pixels + 0.5)
    assert not shares_unit((pixels > 8).astype(float))  # indicators have no levels between
    assert not shares_unit(RNG.poisson(np.linspace(1, 90, 20), (500, 20)).astype(float))
    assert not shares_unit(RNG.normal(size=(500, 20)))
    flags, counts = RNG.integers(0, 2, (300, 9)), RNG.integers(0, 5000, (300, 3))
    counts[0] = 4999
    assert not shares_unit(np.hstack([flags, counts]).astype(float))
    assert not shares_unit(pixels - RNG.integers(0, 9, 64))  # lowest levels of their own
    none = fit_columns(np.zeros((9, 4)), n_of_one_unit=4)  # none of the rows that are left varies
    assert (none.deviation == 0).all()


def test_columns_of_one_unit_keep_it():
    x = np.column_stack([
        RNG.integers(0, 17, (300, 8)), RNG.random((300, 1)) < 0.01, np.full(300, 3),
        np.arange(300) == 7, np.zeros(300)]).astype(float)
    columns = fit_columns(x, n_of_one_unit=10)
    shared = np.sqrt(x[:, :9].var(0).mean())
    np.testing.assert_allclose(columns.deviation[:10], shared)
    assert columns.deviation[11] == 0  # a constant outside of them
    moved = x[:1].copy()
    moved[0, 9] += 5  # a new value in a constant feature is as far as it is, and no evidence alone
    difference = columns.standardise(moved) - columns.standardise(x[:1])
    np.testing.assert_allclose(difference[0, 9], 5 / shared)
    assert columns.novelty(moved)[0] == 0
    alone = np.delete(x, 7, 0)
    assert columns.own_novelty()[7] == pytest.approx(
        fit_columns(alone, n_of_one_unit=10).novelty(x[7:8])[0])


@pytest.mark.parametrize("size", [5e-324, 3e-200, 1.0, 1.5, 2.0, 7e200, 1.7e308])
def test_a_power_of_two_divides_exactly(size):
    column = np.array([0.0, size, -size / 3])
    unit = power_of_two(column)
    assert 1 <= size / unit < 2
    np.testing.assert_array_equal(column / unit * unit, column)


def test_only_what_is_very_far_is_moved():
    column, heavy = RNG.normal(size=500), RNG.standard_t(2, size=500)
    assert bulk(column) is column
    assert bulk(heavy) is heavy
    far = np.append(column, [1e5, -1e300])
    np.testing.assert_array_equal(bulk(far)[:500], column)
    assert np.abs(bulk(far)).max() < 30
    saturated = np.where(np.arange(500) < 25, column + 1e4, column)  # one in twenty is as far
    assert bulk(saturated) is saturated
    np.testing.assert_allclose(bulk(np.where(np.arange(500) < 25, 1e300, column))[25:], column[25:])
    rare = np.append(np.zeros(300), 1e300)  # without a spread to measure by
    assert bulk(rare) is rare


def test_deviations_leave_out_what_is_missing():
    x = RNG.normal(size=(200, 2)) * [1.0, 2.0**900]
    x[::7, 0], x[:3, 1] = np.nan, np.nan
    x = np.column_stack([x, np.full(200, np.nan)])
    expected = [np.nanstd(x[:, 0]), np.nanstd(x[:, 1] / 2.0**900) * 2.0**900, 0.0]
    np.testing.assert_allclose(deviations(x), expected)
