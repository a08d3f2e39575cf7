"""Asking all hosts to end: a signal to one of them, or the main host's clock, ends all together.

What a host wishes goes into a call of the training step, whose devices tell each other the largest
wish beside their gradients. It is read two calls later, when it is there: nobody waits for it, and
all hosts act on it after the same step. A host that is alone acts on its own wish at once.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from flowaa.training import parallel
from flowaa.training.parallel import WISH

_TIME_IS_UP = 1_000  # larger than the number of any signal
_CALLS_BEHIND = 2


class Wishes:
    """What this host wishes, and what all of them do."""

    def __init__(self, signals: Sequence[int], is_late: Callable[[], bool]) -> None:
        """Begins without any.

        Args:
            signals: those that arrived, a list that grows.
            is_late: whether time is up, by this host's clock.
        """
        self._signals, self._is_late = signals, is_late
        self._pending: deque[Any] = deque()  # on the devices
        self._heard: int | None = None  # the largest of many hosts; None = there is one

    def own(self) -> int:
        """This host's, to be told to the others: a signal's number or another; 0 for none."""
        return _TIME_IS_UP if self._is_late() else self._signal()

    def hear(self, metrics: dict[str, Any]) -> None:
        """Takes what the others wish from the metrics of a call."""
        if WISH in metrics:
            self._pending.append(metrics.pop(WISH))
            is_there = len(self._pending) > _CALLS_BEHIND
            self._heard = int(parallel.unreplicate(self._pending.popleft())) if is_there else 0

    def time_is_up(self) -> bool:
        """Whether training ends."""
        return self._is_late() if self._heard is None else self._heard == _TIME_IS_UP

    def signal(self) -> int:
        """The number of the signal that asks all to stop; 0 for none."""
        if self._heard is None:
            return self._signal()
        return self._heard if self._heard != _TIME_IS_UP else 0

    def _signal(self) -> int:
        return self._signals[0] if self._signals else 0
