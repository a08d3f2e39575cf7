"""Data made or brought along: the laws it is drawn from, and the digits' fixed test split."""

import numpy as np
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from flowaa.data.sources.digits import digits
from flowaa.data.sources.toy import mixture, moons


def all_rows(dataset):
    parts = (dataset.train, dataset.validation, dataset.test)
    return np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])


def test_mixture_components_are_unit_gaussians_at_plus_and_minus_three():
    x, y = all_rows(mixture(n_rows=8000, seed=0, test_fraction=0.2, validation_fraction=0.1))
    assert x.dtype == np.float32
    assert (np.bincount(y) == 4000).all()
    centred = x - np.where(y[:, None] == 1, 3.0, -3.0)
    for direction in ([1, 0], [0, 1], [0.6, 0.8], [0.8, -0.6]):
        assert stats.kstest(centred @ np.array(direction), "norm").pvalue > 1e-3


def test_moons_are_half_circles_with_noise_of_a_tenth():
    x, y = all_rows(moons(n_rows=8000, seed=0, test_fraction=0.2, validation_fraction=0.1))
    centres = np.where(y[:, None] == 1, [[1.0, 0.5]], [[0.0, 0.0]])
    radius = np.linalg.norm(x - centres, axis=1)
    # To first order the radial noise is one coordinate of the noise.
    np.testing.assert_allclose(radius.mean(), 1.0, atol=0.01)
    np.testing.assert_allclose(radius.std(), 0.1, atol=0.005)


def test_toy_data_depends_on_the_seed_alone():
    options = {"n_rows": 50, "test_fraction": 0.2, "validation_fraction": 0.1}
    for make in (mixture, moons):
        first, again, other = (make(seed=seed, **options) for seed in (4, 4, 5))
        np.testing.assert_array_equal(first.train.x, again.train.x)
        assert not np.array_equal(first.train.x, other.train.x)
        assert (len(first.train), len(first.validation), len(first.test)) == (36, 4, 10)


def test_digits_have_a_fixed_test_split_and_every_image_once():
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1)
    datasets = [digits(seed=seed, validation_fraction=0.1) for seed in (0, 1)]
    _, expected_test = train_test_split(np.arange(1797), test_size=360, random_state=0,
                                        stratify=labels)
    for dataset in datasets:
        parts = (dataset.train, dataset.validation, dataset.test)
        assert [len(part) for part in parts] == [1293, 144, 360]
        np.testing.assert_array_equal(dataset.test.source_rows, np.sort(expected_test))
        assert sorted(np.concatenate([part.source_rows for part in parts])) == list(range(1797))
        for part in parts:
            assert part.x.dtype == np.uint8
            np.testing.assert_array_equal(part.x, images[part.source_rows])
            np.testing.assert_array_equal(part.y, labels[part.source_rows])
        assert (dataset.spec.n_levels, dataset.spec.n_classes) == (17, 10)
    assert set(datasets[0].validation.source_rows) != set(datasets[1].validation.source_rows)
