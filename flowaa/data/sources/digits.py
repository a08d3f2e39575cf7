"""Real handwritten digits, 8 × 8 pixels of 17 levels, which scikit-learn brings along."""

import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe
from flowaa.data.splitting import complete, take

N_LEVELS = 17
N_TEST_ROWS = 360


def digits(*, seed: int, validation_fraction: float) -> Dataset:
    """The digits of `sklearn.datasets.load_digits` (Alpaydin and Kaynak, 1998).

    The test split is fixed, whatever the seed, so that figures compare between runs.

    Args:
        seed: chooses the validation rows.
        validation_fraction: their share of the 1 437 rows that are not for the test.

    Returns:
        Images [N, 8, 8, 1] uint8 of levels 0 … 16, in ten classes.
    """
    # Imported here, since it takes a second that other data sets need not wait for.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    rows = Split(bunch.images[..., None].astype(np.uint8), bunch.target.astype(np.int32))
    rest_rows, test_rows = train_test_split(
        np.arange(len(rows)), test_size=N_TEST_ROWS, random_state=0, stratify=rows.y)
    given = {"train": take(rows, np.sort(rest_rows)), "test": take(rows, np.sort(test_rows))}
    train, validation, test = complete(given, seed=seed, test_fraction=0.0,
                                       validation_fraction=validation_fraction)
    spec = describe(train, n_levels=N_LEVELS,
                    class_names=tuple(str(name) for name in bunch.target_names))
    return Dataset("digits", spec, train, validation, test)
