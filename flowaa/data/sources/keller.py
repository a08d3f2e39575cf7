"""The artificial data of Keller et al. (2020): known mixtures of known archetypes.

S. M. Keller et al., "Learning Extremal Representations with Deep Archetypal Analysis": points of
the triangle of three archetypes are mapped linearly to eight dimensions and made noisy; then the
exponential of one coordinate takes its place, which bends the triangle out of the plane that linear
archetypal analysis can see.
"""

import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe
from flowaa.data.seeding import Stream, generator
from flowaa.data.splitting import check_n_rows, complete
from flowaa.errors import UserError

N_ARCHETYPES = 3
N_FEATURES = 8
NOISE = 0.1  # standard deviation; archetypes are about four apart


def keller(*, n_rows: int, nonlinear: bool, seed: int, test_fraction: float,
           validation_fraction: float, concentration: tuple[float, ...] = (1.0, 1.0, 1.0),
           ) -> Dataset:
    """Mixtures of three archetypes in eight dimensions.

    Weights are drawn from a Dirichlet law, in the paper evenly from the simplex. The exponential is
    taken of the coordinate in which the archetypes differ most: of another it could do next to
    nothing, as chance has it.

    Args:
        n_rows: rows drawn, all splits together; 10 000 in the paper.
        nonlinear: whether the exponential is taken.
        seed: governs archetypes, weights, noise and the splits.
        test_fraction: share of all rows.
        validation_fraction: share of the rows that are not for the test.
        concentration: alpha [3] of the weights' law, above 0; 1 is even.

    Returns:
        Points [N, 8] float32 without labels; their true weights [N, 3] as side information.

    Raises:
        UserError: if the rows are too few for the splits, the seed is negative, or the
            concentrations are not three positive numbers.
    """
    if len(concentration) != N_ARCHETYPES or not all(0 < alpha < np.inf for alpha in concentration):
        raise UserError(f"data.concentration is {concentration}; set it to {N_ARCHETYPES} numbers "
                        "larger than 0")
    check_n_rows(n_rows)
    random = generator(seed, Stream.ROWS)
    archetypes = random.standard_normal((N_ARCHETYPES, N_FEATURES))
    weights = random.dirichlet(concentration, n_rows)
    x = weights @ archetypes + NOISE * random.standard_normal((n_rows, N_FEATURES))
    if nonlinear:
        widest = np.argmax(np.ptp(archetypes, axis=0))
        x[:, widest] = np.exp(x[:, widest])
    rows = Split(x.astype(np.float32), side=weights.astype(np.float32))
    train, validation, test = complete({"train": rows}, seed=seed, test_fraction=test_fraction,
                                       validation_fraction=validation_fraction)
    side_names = tuple(f"archetype {index}" for index in range(N_ARCHETYPES))
    return Dataset("keller", describe(train, n_levels=0, side_names=side_names), train, validation,
                   test)
