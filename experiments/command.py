"""What every command shares: flags to a config, and errors that end in one line."""

import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from ml_collections import config_flags

from flowaa.errors import UserError

USAGE_STATUS = 2  # the exit status of every error that the user can mend


def define_config(default: str | None = None) -> flags.FlagHolder:
    """Declares `--config=FILE[:VARIANT]`, every key of which `--config.KEY=VALUE` overrides."""
    return config_flags.DEFINE_config_file(
        "config", default, "Config file, e.g. configs/digits.py or configs/digits.py:smoke.",
        lock_config=True,
    )


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; a user's error ends in one line and exit status 2.

    Args:
        main: the command's body; it reads its flags itself.
    """

    def guarded(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            _stop(f"unexpected argument {argv[1]!r}; options are written --name=value")
        try:
            main()
        except UserError as error:
            _stop(str(error))
        except OSError as error:
            _stop(_describe_os_error(error))

    logging.set_verbosity(logging.WARNING)  # libraries' chatter; progress is shown by the commands
    app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses `argv`; whatever is wrong with a flag is the user's to mend."""
    try:
        return flags.FLAGS(list(argv), known_only=False)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError,
            ImportError) as error:
        return _stop(f"{' '.join(str(error).split())}; see --help and configs/default.py")


def _describe_os_error(error: OSError) -> str:
    """One line that names the file and what the system said of it."""
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}; check that the path exists, is writable and has room"


def _stop(message: str) -> list[str]:
    """Prints `error: message` and ends with the status of a user's error."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(USAGE_STATUS)
