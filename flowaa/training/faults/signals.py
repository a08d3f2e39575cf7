"""Ctrl-C and SIGTERM: training ends at the next step with its state saved."""

import contextlib
import signal
from collections.abc import Iterator

from flowaa.errors import Interrupted


class TrainingInterrupted(Interrupted):
    """A signal asked to stop; the state was saved at `step`."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        super().__init__(f"stopped at step {step}; the same command continues from there", number)


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that holds the signal that asked to stop, if one did; a second one ends at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are someone else's
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
