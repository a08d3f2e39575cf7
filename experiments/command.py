"""What every command shares: flags to a config, and errors that end in one line."""

import difflib
import functools
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from flowaa.errors import UserError

USAGE_STATUS = 2  # the exit status of every error that the user can mend


@functools.cache
def define_config() -> flags.FlagHolder:
    """Declares `--config=FILE[:VARIANT]`, every key of which `--config.KEY=VALUE` overrides."""
    holder = config_flags.DEFINE_config_file(
        "config", None,
        "Config file, maybe with a variant: configs/digits.py, configs/digits.py:smoke. Each of "
        "its keys can be overridden, e.g. --config.optimizer.learning_rate=3e-4; "
        "configs/default.py lists them all.",
        lock_config=True,
    )
    return holder


@functools.cache
def define_workdir() -> flags.FlagHolder:
    """Declares `--workdir`, which several commands have: one flag, however often."""
    return flags.DEFINE_string("workdir", None, "Folder of the run; training makes it.")


@functools.cache
def define_label() -> flags.FlagHolder:
    """Declares `--label`, likewise."""
    return flags.DEFINE_integer("label", None, "Class of what is drawn, where there are classes.",
                                lower_bound=0)


@functools.cache
def define_step() -> flags.FlagHolder:
    """Declares `--step`, likewise."""
    return flags.DEFINE_integer("step", None, "Checkpoint; the best on validation by default.")


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; a user's error ends in one line and exit status 2.

    Args:
        main: the command's body; it reads its flags itself.
    """
    for shared in {"config", "workdir", "step", "label"} & set(flags.FLAGS):
        # Else `--help` shows only the flags that the command's own module declares.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[shared])

    def guarded(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            _stop(f"unexpected argument {argv[1]!r}; options are written --name=value")
        try:
            main()
        except UserError as error:
            _stop(str(error))
        except OSError as error:
            _stop(_describe_os_error(error))

    # Libraries log tracebacks of what is then told in a line.
    logging.set_verbosity(logging.FATAL)
    app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses `argv`; whatever is wrong with a flag is the user's to mend."""
    try:
        if "config" in flags.FLAGS:
            _check_config(argv)
        return flags.FLAGS(list(argv))
    except SystemExit:  # --help, which absl ends with status 1
        sys.exit(0)
    except UserError as error:
        return _stop(str(error))
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        return _stop(f"{' '.join(str(error).split())}; see --help and configs/default.py")


def _check_config(argv: Sequence[str]) -> None:
    """Says in one line what ml_collections would say in a traceback."""
    given = dict(_options(argv))
    if "config" not in given:
        return
    file, *variant = given["config"].split(":", 1)
    keys = set(_keys(_load_config(file, variant)))
    for option in given:
        key = option.removeprefix("config.")
        if option.startswith("config.") and key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"--{option}: the config has no such key; {hint}"
                            "configs/default.py lists them all")


def _load_config(file: str, variant: list[str]) -> ConfigDict:
    """What the file's `get_config` gives."""
    if not Path(file).is_file():
        raise UserError(f"--config: there is no file {file}; give one such as configs/digits.py, "
                        "from the folder that holds configs/")
    spec = importlib.util.spec_from_file_location("_checked_config", file)
    if spec is None or spec.loader is None:
        raise UserError(f"--config: {file} is no Python file; give one such as configs/digits.py")
    module: Any = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return module.get_config(*variant)
    except Exception as error:  # the file is the user's: whatever it raises is theirs to mend
        raise UserError(f"--config: {file} does not load: {' '.join(str(error).split())}") from None


def _keys(config: ConfigDict, prefix: str = "") -> Iterable[str]:
    """Dotted keys of a config, its blocks included."""
    for key in config:
        yield prefix + key
        if isinstance(config[key], ConfigDict):
            yield from _keys(config[key], f"{prefix}{key}.")


def _options(argv: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Options and their values, written `--name=value` or `--name value`."""
    for word, following in itertools.pairwise([*argv[1:], ""]):
        if word.startswith("-"):
            name, is_pair, value = word.lstrip("-").partition("=")
            yield name, value if is_pair else following


def _describe_os_error(error: OSError) -> str:
    """One line that names the file and what the system said of it."""
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}; check that the path exists, is writable and has room"


def _stop(message: str) -> list[str]:
    """Prints `error: message` and ends with the status of a user's error."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(USAGE_STATUS)
