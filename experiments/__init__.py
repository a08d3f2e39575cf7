"""Experiments: commands that train, analyse and measure. They run from a checkout."""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

# What asks a process to end: Ctrl-C, a scheduler, a terminal that closes.
_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_at_once(status: int, message: str = "") -> NoReturn:
    """Ends the process without what Python and libraries do at its end."""
    stderr = 2
    with contextlib.suppress(Exception):  # a signal came while it was written to
        sys.stdout.flush()
        sys.stderr.flush()
        stderr = sys.stderr.fileno()  # another while processes meet
    if message:
        os.write(stderr, f"{message}\n".encode())
    os._exit(status)


def end_by_signal(number: int, frame: object = None, *, message: str = "") -> NoReturn:
    """Ends the process in one line, with the status that a shell gives for the signal.

    At once: Python would first wait for threads that compile or read. What is on the disk is whole,
    as it must be after SIGKILL.
    """
    del frame
    word = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    end_at_once(128 + number, message or f"stopped by {word}")


def set_handlers() -> dict[signal.Signals, Any]:
    """From now on a signal ends the process in one line, unless something notes it and goes on.

    SIGHUP stays ignored where it is, as under `nohup`.

    Returns:
        The handlers before.
    """
    return {number: signal.signal(number, end_by_signal) for number in _NUMBERS
            if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP}


@contextlib.contextmanager
def ending_by_signals() -> Iterator[None]:
    """Within it the handlers are those of `set_handlers`."""
    old = set_handlers()
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _ignore() -> None:
    """All is done: Python gives up its handlers now, and a signal would end it by its number."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


# `python -m experiments.NAME` imports this first: an interrupt is one line from the start, while
# libraries load. A program that imports the package keeps its own handlers.
if sys.argv[:1] == ["-m"]:
    set_handlers()
    atexit.register(_ignore)
