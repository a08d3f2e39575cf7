"""The seeds of a benchmark that `--only` names."""

from collections.abc import Sequence

from absl import flags

from flowaa.errors import UserError


def chosen_seeds(every: Sequence[int]) -> Sequence[int]:
    """Those that `--only` names, or all.

    Raises:
        UserError: one is no whole number.
    """
    only = flags.FLAGS.only
    for name in only:
        if not name.isdecimal():
            raise UserError(f"--only: seeds are whole numbers, and {name!r} is none")
    return [int(name) for name in only] or every
