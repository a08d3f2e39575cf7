"""Commands run in this process, as from a shell."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
from absl import app, flags
from absl.testing import flagsaver

from experiments import command


class Result(NamedTuple):
    status: int
    out: str
    err: str


def run_command(
    main: Callable[[], None], arguments: list[str], capsys: pytest.CaptureFixture[str]  # or capfd
) -> Result:
    """Exit status and output of `python -m MODULE ARGUMENTS` for a module's `main`."""
    capsys.readouterr()
    with flagsaver.flagsaver(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *arguments])
        # absl allows one run a process; in a test it is one after the other.
        patch.setattr(app._register_and_parse_flags_with_usage, "done", False)
        flags.FLAGS.unparse_flags()
        try:
            command.run(main)
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return Result(status, *capsys.readouterr())
