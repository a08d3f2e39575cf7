"""Which checkpoints are kept."""

from collections.abc import Mapping, Sequence


def superfluous(
    steps: Sequence[int], validation_losses: Mapping[int, float], keep: int
) -> list[int]:
    """Steps that are neither among the newest `keep` nor the best on validation.

    >>> superfluous([2, 4, 6, 8], {2: 1.5, 4: 1.7}, keep=1)
    [4, 6]
    """
    best = min((step for step in steps if step in validation_losses),
               key=lambda step: validation_losses[step], default=None)
    return [step for step in sorted(steps)[:-keep] if step != best]
