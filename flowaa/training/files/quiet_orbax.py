"""Keeps orbax quiet: what goes wrong in it is an exception, which flowaa tells in a line."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

_LOGGERS = ("absl", "asyncio")  # those that orbax and its event loops log to


@contextlib.contextmanager
def quiet_orbax() -> Iterator[None]:
    """Within it orbax logs nothing; its exceptions pass.

    When a read fails, orbax closes its event loop while other reads are under way. Each of them
    then reports "Event loop is closed" from a thread of tensorstore's, as an exception that nobody
    can catch, or asyncio logs that nobody asked for its result. Since this may be after the
    context, hook and filter stay in place after a failure.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    disabled = [logger.disabled for logger in loggers]
    loop_logger = logging.getLogger("asyncio")
    was_filtered = _is_no_lost_read in loop_logger.filters
    loop_logger.addFilter(_is_no_lost_read)
    report = sys.unraisablehook
    if report is not _report_but_closed_loops:
        sys.unraisablehook = _report_but_closed_loops
    try:
        for logger in loggers:
            logger.disabled = True
        yield
        sys.unraisablehook = report
        if not was_filtered:
            loop_logger.removeFilter(_is_no_lost_read)
    finally:
        for logger, was_disabled in zip(loggers, disabled, strict=True):
            logger.disabled = was_disabled


def _report_but_closed_loops(unraisable: Any) -> None:
    """Python's report of an exception that nobody can catch, but for that of a closed loop."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _is_no_lost_read(record: logging.LogRecord) -> bool:
    """Whether a record of asyncio is anything but a read whose failure nobody asked for."""
    message = record.getMessage()
    return not ("exception was never retrieved" in message and "_wrap_awaitable" in message)
