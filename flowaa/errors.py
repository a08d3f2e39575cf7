"""What flowaa tells its user: errors that the user can mend, and warnings."""

import sys
import warnings


class UserError(ValueError):
    """What is wrong and what to do about it, in one line.

    The commands in `experiments/` print it without a traceback and end with exit status 2.
    It is a `ValueError`, so that code that calls the library catches it as usual.
    """


class FlowaaWarning(UserWarning):
    """Something that the user should know and that does not stop the work, in one line.

    The commands print it once on stderr as `warning: …`; from Python the filters of the module
    `warnings` apply.
    """


class Interrupted(Exception):
    """A signal asked to stop, and what was done is saved; the message says how to go on."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number  # of the signal


class HostLost(Exception):
    """Another process of a training on many hosts was lost; the message says how to go on."""

    STATUS = 75  # of the commands: EX_TEMPFAIL of sysexits.h


def warn(message: str) -> None:
    """Warns the user at the line of theirs that called the library; the same is shown once."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == "flowaa":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, FlowaaWarning, stacklevel=level)
