"""Two-dimensional data: a mixture of two Gaussians, and two half moons (thesis, 4.1)."""

import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe
from flowaa.data.seeding import Stream, generator
from flowaa.data.splitting import check_n_rows, complete

MIXTURE_MEANS = ((-3.0, -3.0), (3.0, 3.0))  # of two Gaussians with unit covariance
MOONS_NOISE = 0.1  # standard deviation of the noise around arcs of radius 1


def mixture(*, n_rows: int, seed: int, test_fraction: float,
            validation_fraction: float) -> Dataset:
    """An even mixture of two Gaussians with means ±(3, 3) and unit covariance.

    Args:
        n_rows: rows drawn, all splits together.
        seed: governs the rows and the splits.
        test_fraction: share of all rows.
        validation_fraction: share of the rows that are not for the test.

    Returns:
        Points [N, 2] float32, labelled by their component.

    Raises:
        UserError: if the rows are too few for the splits.
    """
    check_n_rows(n_rows)
    random = generator(seed, Stream.ROWS)
    labels = random.permutation(np.arange(n_rows) % 2)
    x = np.asarray(MIXTURE_MEANS)[labels] + random.standard_normal((n_rows, 2))
    return _dataset("mixture", x, labels, seed, test_fraction, validation_fraction)


def moons(*, n_rows: int, seed: int, test_fraction: float, validation_fraction: float) -> Dataset:
    """Two interleaving half circles of radius 1 with Gaussian noise 0.1, as scikit-learn has them.

    Arguments, result and errors are those of `mixture`; the label is the half circle.
    """
    from sklearn.datasets import make_moons

    check_n_rows(n_rows)
    state = int(generator(seed, Stream.ROWS).integers(2**32))
    x, labels = make_moons(n_rows, noise=MOONS_NOISE, random_state=state)
    return _dataset("moons", x, labels, seed, test_fraction, validation_fraction)


def _dataset(name: str, x: np.ndarray, labels: np.ndarray, seed: int, test_fraction: float,
             validation_fraction: float) -> Dataset:
    """Splits and describes points [N, 2] of two classes."""
    rows = Split(x.astype(np.float32), labels.astype(np.int32))
    train, validation, test = complete({"train": rows}, seed=seed, test_fraction=test_fraction,
                                       validation_fraction=validation_fraction)
    spec = describe(train, n_levels=0, class_names=("0", "1"))
    return Dataset(name, spec, train, validation, test)
