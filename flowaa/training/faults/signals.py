"""Ctrl-C, SIGTERM and SIGHUP: training ends at the next step with its state saved."""

import contextlib
import signal
from collections.abc import Iterator

from flowaa.errors import Interrupted

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TrainingInterrupted(Interrupted):
    """A signal asked to stop; the state was saved at `step`."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        super().__init__(f"stopped at step {step}; the same command continues from there", number)


class StoppedAtOnce(KeyboardInterrupt):
    """A second signal, while the state was saved."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that holds the signal that asked to stop, if one did; a second one ends at once.

    SIGHUP stays ignored where it is, as under `nohup`.
    """
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received:
            raise StoppedAtOnce(number)
        received.append(number)

    try:
        old = {number: signal.signal(number, note) for number in _NUMBERS
               if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP}
    except ValueError:  # not the main thread: signals are someone else's
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
