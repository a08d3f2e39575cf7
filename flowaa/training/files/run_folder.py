"""The folder of a run: its config, its metrics and its summary.

- `config.json`: the locked config the run was started with
- `checkpoints/`: orbax
- `metrics.jsonl`: a row per log step, with step, wall_s and named scalars
- `summary.json`: the final figures
- `figures/*.png`, and TensorBoard's event files
"""

import json
import os
from pathlib import Path
from typing import Any

from flowaa.errors import UserError

# Keys that change neither what is computed nor what is kept of it.
_FREE_KEYS = {"training.compilation_cache", "training.n_devices"}


class RunFolder:
    """Paths and files of one run."""

    def __init__(self, workdir: str | os.PathLike[str]) -> None:
        """`workdir` need not exist."""
        self.path = Path(workdir).expanduser()
        self.checkpoints = self.path / "checkpoints"
        self.figures = self.path / "figures"

    def claim(self, config: dict[str, Any]) -> None:
        """Makes the folder this config's run, new or to be continued.

        Raises:
            UserError: it holds a run of another config, or something that is not a run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--workdir: {self.path} is a file; give a folder")
        if self.has_run():
            differing = _differing_keys(self.read_config(), config)
            if differing:
                raise UserError(
                    f"--workdir: {self.path} holds a run of another config; these keys differ: "
                    f"{', '.join(differing)}; use another folder or the same config"
                )
        elif self.checkpoints.exists():
            raise UserError(f"--workdir: {self.path} has checkpoints but no config.json; "
                            "use another folder")
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            # Written even where it is there: a full disk is found out now, not after an hour.
            write_json(self.path / "config.json", config)
        except OSError:
            if is_new:
                self.path.rmdir()
            raise
        self.figures.mkdir(exist_ok=True)

    def has_run(self) -> bool:
        """Whether a run was started here."""
        return (self.path / "config.json").is_file()

    def read_config(self) -> dict[str, Any]:
        """The config of the run.

        Raises:
            UserError: there is no run, or its config cannot be read.
        """
        file = self.path / "config.json"
        try:
            return json.loads(file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.path} holds no run: there is no config.json") from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise UserError(f"{file} is damaged; restore it or train anew") from None

    def write_summary(self, figures: dict[str, float]) -> None:
        """Writes or extends `summary.json`."""
        write_json(self.path / "summary.json", {**self.read_summary(), **figures})

    def read_summary(self) -> dict[str, float]:
        """The final figures; empty before the run has any."""
        file = self.path / "summary.json"
        return json.loads(file.read_text()) if file.is_file() else {}


def write_json(file: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write_atomically(file, json.dumps(value, indent=2) + "\n")


def write_atomically(file: Path, text: str) -> None:
    """Writes a file whole or not at all: under another name, then renamed."""
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_text(text)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _differing_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Dotted keys whose values differ, but for those that may."""
    old_flat, new_flat = _flatten(old), _flatten(new)
    keys = sorted(old_flat.keys() | new_flat.keys())
    return [key for key in keys
            if key not in _FREE_KEYS and old_flat.get(key) != new_flat.get(key)]


def _flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = json.loads(json.dumps(value))  # tuples and lists are alike in JSON
    return flat
