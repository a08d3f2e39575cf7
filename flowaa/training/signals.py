"""Ctrl-C and SIGTERM: training ends at the next step with its state saved."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

INTERRUPTED_STATUS = 130  # what a shell gives for Ctrl-C


class TrainingInterrupted(Exception):
    """The user asked to stop; the state was saved at `step`."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}; the same command continues from there")


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


def end_interrupted(message: str) -> NoReturn:
    """Ends the process with a line and the status of Ctrl-C, at once.

    Python would first wait for threads that compile or read, which may take minutes.
    """
    print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED_STATUS)
