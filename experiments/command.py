"""What every command shares: flags to a config, messages of one line, exit statuses.

Statuses: 0 done, 2 an error that the user can mend, 75 another process of a training on many hosts
was lost, 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM.
"""

import contextlib
import functools
import importlib.metadata
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from experiments import end_at_once, end_by_signal, ending_by_signals, overrides
from flowaa.errors import FlowaaWarning, HostLost, Interrupted, UserError

USAGE_STATUS = 2
# Flags that other modules declare than the command's own.
_SHARED = {"config", "workdir", "step", "label", "out", "only", "distributed",
           "coordinator_address", "num_processes", "process_id", "join_timeout_s"}
_HELP = {"help", "h", "helpshort", "helpfull", "?"}


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
    return flags.DEFINE_string(
        "workdir", None, "Folder of the run; train and archetypes make it, the other commands need "
        "one that is there.")


@functools.cache
def define_label() -> flags.FlagHolder:
    """Declares `--label`, likewise."""
    return flags.DEFINE_integer(
        "label", None, "Class of what is drawn, counted from 0, where there are classes.",
        lower_bound=0)


@functools.cache
def define_step() -> flags.FlagHolder:
    """Declares `--step`, likewise."""
    return flags.DEFINE_integer("step", None, "Checkpoint; the best on validation by default.")


@functools.cache
def define_out() -> flags.FlagHolder:
    """Declares `--out`, likewise."""
    return flags.DEFINE_string(
        "out", None, "What results are written to: FILE.json of numbers (benchmark, adbench), or a "
        "folder of figures (reproduce; runs/reproduce by default).")


@functools.cache
def define_only() -> flags.FlagHolder:
    """Declares `--only`, likewise."""
    return flags.DEFINE_list(
        "only", [], "Names with commas, of tables, cases or figures to make; all by default.")


def figures_of(folder: Path) -> Path:
    """The folder of a run's pictures.

    Raises:
        UserError: it is a link: a stranger's run must not have others' folders written to.
    """
    figures = folder / "figures"
    if figures.is_symlink():
        raise UserError(f"workdir: {figures} is a link out of the folder; replace it by what it "
                        "points to")
    return figures


def define_overrides(name: str, config: ConfigDict) -> flags.FlagHolder:
    """Declares `--NAME.KEY=VALUE` for every key of a block."""
    try:  # now: ml_collections looks the keys up when the flag is declared
        overrides.check_keys(name, config, sys.argv)
    except UserError as error:
        _stop(str(error))
    return config_flags.DEFINE_config_dict(name, config)


def run(
    main: Callable[[], None], *, help_sections: Callable[[], str] = str,
    leave: Callable[[], bool] = bool,
) -> None:
    """Parses the flags and calls `main`; what goes wrong ends in one line and a status.

    Args:
        main: the command's body; it reads its flags itself.
        help_sections: what `--help` says besides the module's docstring and the flags.
        leave: called before a process ends because something went wrong or a signal asked to; True
            ends it at once, without what libraries do at Python's end.
    """
    for shared in _SHARED & set(flags.FLAGS):
        # Else `--help` shows only the flags that the command's own module declares.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[shared])

    def guarded(argv: Sequence[str]) -> None:
        try:
            answered(argv)
        except SystemExit as stop:
            if leave():
                end_at_once(int(stop.code or 0))
            raise
        except Exception:
            if leave():
                traceback.print_exc()
                end_at_once(1)
            raise

    def answered(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            _stop(f"unexpected argument {argv[1]!r}; options are written --name=value")
        try:
            is_main = threading.current_thread() is threading.main_thread()
            with ending_by_signals() if is_main else contextlib.nullcontext():
                main()
        except UserError as error:
            _stop(overrides.with_flag(str(error), sys.argv))
        except OSError as error:
            _stop(_describe_os_error(error))
        except MemoryError as error:
            _stop(f"out of memory: {error}; use fewer rows or a smaller network")
        except HostLost as lost:
            end_at_once(HostLost.STATUS, f"error: {lost}")
        except Interrupted as stop:
            leave()
            end_by_signal(stop.number, message=str(stop))
        except KeyboardInterrupt as stop:  # a second signal while training saves its state
            end_by_signal(getattr(stop, "number", signal.SIGINT))

    _silence_libraries()
    with warnings.catch_warnings():
        _show_own_warnings()
        app.run(guarded, flags_parser=functools.partial(_parse_flags, help_sections=help_sections))


def _parse_flags(argv: Sequence[str], help_sections: Callable[[], str]) -> list[str]:
    """Parses `argv`; whatever is wrong with a flag is the user's to mend."""
    words = {word.lstrip("-") for word in argv[1:] if word.startswith("-")}
    if words & _HELP:
        print(_help(help_sections()))
        sys.exit(0)
    if "version" in words:
        print(f"flowaa {importlib.metadata.version('flowaa')}")
        sys.exit(0)
    try:
        overrides.check(argv)
        return flags.FLAGS(list(argv))
    except UserError as error:
        return _stop(str(error))
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        return _stop(f"{' '.join(str(error).split())}; see --help and configs/default.py")


def _help(sections: str) -> str:
    """The command's docstring, its flags, and sections on configs, keys or benchmarks."""
    doc = sys.modules["__main__"].__doc__ or ""
    own = [flag for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])
           if flag.name != "detector"]  # its keys are a section of their own
    listed = "\n".join(f"  --{flag.name}: {flag.help} "
                       f"(default: {'none' if flag.default is None else flag.default_as_str})"
                       for flag in sorted(own, key=lambda flag: flag.name))
    parts = [doc.strip(), "flags:\n" + listed]
    if "config" in flags.FLAGS:
        parts.append("configs, for --config=configs/NAME.py, or configs/NAME.py:smoke for the same "
                     "in seconds:\n" + overrides.cards(overrides.CONFIGS))
    if "detector" in flags.FLAGS:
        parts.append("keys of the detector, for --detector.KEY=VALUE:\n"
                     + overrides.meanings("detector"))
    return "\n\n".join([*parts, *([sections] if sections else []),
                        "--version says which flowaa this is."])


def _silence_libraries() -> None:
    """Keeps to itself what libraries log, since errors and warnings are told in a line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # of XLA's C++, before JAX is imported
    logging.set_verbosity(logging.FATAL)
    # A thread of a library that fails leaves a traceback; the call that waits for it fails too.
    threading.excepthook = lambda _: None


def _show_own_warnings() -> None:
    """The library's warnings, each once, on stderr as `warning: …`, and no others."""
    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int,
             file: Any = None, line: str | None = None) -> None:
        from tqdm import tqdm  # draws its bar again below the line

        if issubclass(category, FlowaaWarning):
            said = overrides.with_flag(" ".join(str(message).split()), sys.argv)
            tqdm.write(f"warning: {said}", file=sys.stderr)

    warnings.simplefilter("ignore")
    warnings.filterwarnings("once", category=FlowaaWarning)
    warnings.showwarning = show


def _describe_os_error(error: OSError) -> str:
    """One line that names the file and what the system said of it."""
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}; check that the path exists, is writable and has room"


def _stop(message: str) -> list[str]:
    """Prints `error: message` and ends with the status of a user's error."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(USAGE_STATUS)
