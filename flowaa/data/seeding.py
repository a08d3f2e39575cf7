"""Independent streams of random numbers from the one seed of an experiment."""

import enum

import numpy as np

from flowaa.errors import UserError


class Stream(enum.IntEnum):
    """Purposes of random numbers in the data layer; each has a stream of its own."""

    ROWS = 0
    TEST_SPLIT = 1
    VALIDATION_SPLIT = 2
    BATCHES = 3
    ARCHETYPES = 4  # rows that archetypes start from


def generator(seed: int, stream: Stream, *position: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments.

    Args:
        seed: the experiment's seed.
        stream: the purpose.
        *position: where in the stream, e.g. the epoch.

    Raises:
        UserError: if the seed is negative.
    """
    if seed < 0:
        raise UserError(f"the seed is {seed}; set config.seed to 0 or larger")
    return np.random.default_rng((seed, int(stream), *position))
