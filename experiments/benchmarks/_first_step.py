"""A process that takes one training step of the thesis's architecture and ends.

`python -m experiments.benchmarks._first_step CACHE` is timed from outside by `training`.
"""

import sys

from experiments.benchmarks import _ours
from flowaa.configs import thesis
from flowaa.training.files.compilation_cache import enable_cache


def main(cache: str) -> None:
    """Compiles or reads from the cache, and steps once."""
    enable_cache(cache)
    _ours.training_call(thesis.get_config(), _ours.random_images(640, side=32))()


if __name__ == "__main__":
    main(sys.argv[1])
