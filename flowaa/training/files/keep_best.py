"""Which checkpoints orbax keeps: the best on validation."""

from collections.abc import Mapping, Sequence
from typing import Any


class KeepBest:
    """Orbax's preservation policy of the step with the smallest validation loss, and no other."""

    def __init__(self, validation_losses: Mapping[int, float]) -> None:
        self._validation_losses = validation_losses

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Whether to keep each checkpoint."""
        del context
        steps = [info.step for info in checkpoints]
        best = min((step for step in steps if step in self._validation_losses),
                   key=lambda step: self._validation_losses[step], default=None)
        return [step == best for step in steps]
