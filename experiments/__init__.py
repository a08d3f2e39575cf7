"""Experiments: commands that train, analyse and measure. They run from a checkout."""

import os
import signal
import sys
from typing import NoReturn


def end_by_signal(number: int, frame: object = None, *, message: str = "") -> NoReturn:
    """Ends the process in one line, with the status that a shell gives for the signal.

    At once: Python would first wait for threads that compile or read.
    """
    del frame
    word = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(2, f"{message or f'stopped by {word}'}\n".encode())
    os._exit(128 + number)


# `python -m experiments.NAME` imports this first: an interrupt is one line from the start, while
# libraries load. A program that imports the package keeps its own handlers.
if sys.argv[:1] == ["-m"]:
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, end_by_signal)
