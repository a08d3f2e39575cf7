"""The keys that flags may override, `--config.KEY` and `--detector.KEY`: checks and help."""

import ast
import difflib
import importlib.util
import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from flowaa import configs
from flowaa.errors import UserError

CONFIGS = Path(configs.__path__[0])


def check(argv: Sequence[str]) -> None:
    """Says in one line what ml_collections would say in a traceback.

    Raises:
        UserError: the config file cannot be loaded, or an overridden key does not exist.
    """
    given = dict(_options(argv))
    if "config" in flags.FLAGS and "config" in given:
        file, *variant = given["config"].split(":", 1)
        check_keys("config", _load_config(file, variant), argv)


def with_flag(message: str, argv: Sequence[str]) -> str:
    """A message of the library in the command's words: what it names are flags here.

    A config's keys that it advises, and the folder, are flags; a key that it begins with is the
    one that the user typed.
    """
    message = re.sub(r"(?<![\w./-])config\.(?!json\b)(?=[a-z])", "--config.", message)
    message = re.sub(r"^workdir\b", "--workdir", message)
    for option, _ in _options(argv):
        for key in (option, option.removeprefix("config.")):
            if re.match(re.escape(key) + r"\b", message) and "." in option:
                return f"--{option}{message[len(key):]}"
    return message


def cards(folder: Path) -> str:
    """A line for each module of a folder: its name and the first sentence of its docstring."""
    lines = []
    for file in sorted(folder.glob("[!_]*.py")):
        doc = ast.get_docstring(ast.parse(file.read_text())) or ""
        lines.append(f"  {file.stem:20} {' '.join(doc.split(chr(10) * 2)[0].split())}")
    return "\n".join(lines)


def meanings(block: str) -> str:
    """The keys of a block of `configs/default.py` with defaults, and the comments on them."""
    lines, comment = [], ""
    for line in (CONFIGS / "default.py").read_text().splitlines():
        line = line.strip()
        found = re.match(rf"{block}\.(\w+) = ([^#]*[^# ])(?:\s+# (.*))?$", line)
        if found:
            text = " ".join(filter(None, (comment, found[3])))
            lines += [f"  {found[1]} = {found[2]}", *textwrap.wrap(
                text, 100, initial_indent="      ", subsequent_indent="      ")]
        comment = f"{comment} {line[1:].strip()}".strip() if line.startswith("#") else ""
    return "\n".join(lines)


def check_keys(flag: str, config: ConfigDict, argv: Sequence[str]) -> None:
    """Raises a `UserError` where an option `--FLAG.KEY` names a key that the config lacks."""
    keys = set(_keys(config))
    for option, _ in _options(argv):
        key = option.removeprefix(f"{flag}.")
        if option.startswith(f"{flag}.") and key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f"did you mean --{flag}.{near[0]}? " if near else ""
            raise UserError(f"--{option}: the {flag} has no such key; {hint}"
                            "configs/default.py lists them all")


def _load_config(file: str, variant: list[str]) -> ConfigDict:
    """The config that the file's `get_config` returns."""
    if not Path(file).is_file():
        raise UserError(f"--config: there is no file {file}; give one such as configs/digits.py, "
                        "from the folder that holds configs/")
    spec = importlib.util.spec_from_file_location("_checked_config", file)
    if spec is None or spec.loader is None:
        raise UserError(f"--config: {file} is no Python file; give one such as configs/digits.py")
    module: Any = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(*variant)
    except Exception as error:  # the file is the user's: whatever it raises is theirs to mend
        raise UserError(f"--config: {file} does not load: {' '.join(str(error).split())}") from None
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config: get_config of {file} returns no ConfigDict but {config!r:.50}")
    return config


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
