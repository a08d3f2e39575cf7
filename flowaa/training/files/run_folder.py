"""The folder of a run: its config, its metrics and its summary.

- `config.json`: the locked config the run was started with
- `checkpoints/N/`: a state, by orbax, with a manifest of digests; `damaged/N/`: one that differs
  from its manifest
- `metrics.jsonl`: a row per log step, with step, wall_s and named scalars
- `summary.json`: the final figures
- `figures/*.png`, and TensorBoard's event files
- `diverged.json`: the step at which the loss was no longer finite; `diverged/N/`: such a run, moved
  out of the way of one with another config
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flowaa.errors import UserError, warn
from flowaa.training.files.lock import locked
from flowaa.training.files.resuming import FREE_KEYS, differing_keys

_FILES = ("config.json", "checkpoints", "metrics.jsonl", "summary.json", "splits.npz", "figures",
          "events.*", "damaged", "diverged.json")


class RunFolder:
    """Paths and files of one run."""

    def __init__(self, workdir: str | os.PathLike[str]) -> None:
        """`workdir` need not exist.

        Raises:
            UserError: it is no path.
        """
        if not isinstance(workdir, str | os.PathLike) or not os.fspath(workdir) or (
            "\0" in os.fspath(workdir)
        ):
            raise UserError(f"workdir is {workdir!r}; give a folder's path")
        self.path = Path(workdir).expanduser()
        self.checkpoints = self.path / "checkpoints"
        self.figures = self.path / "figures"

    @contextlib.contextmanager
    def claimed(
        self, config: dict[str, Any], free_keys: Sequence[str] = FREE_KEYS
    ) -> Iterator[None]:
        """Within it the folder is this config's run, new or continued, and no one else's.

        A run of another config makes room where there is nothing of it to go on with: it has no
        checkpoint yet, or it diverged.

        Args:
            config: of the run.
            free_keys: those that may differ in a run that goes on.

        Raises:
            UserError: it holds a run of another config, or something that is not a run, or another
                process trains in it.
        """
        for path in (self.path, *self.path.parents):
            if path.exists() and not path.is_dir():
                raise UserError(f"workdir: {self.path} is or lies below a file; give a folder")
        if not self.has_run() and self.checkpoints.exists():
            raise UserError(f"workdir: {self.path} has checkpoints but no config.json; "
                            "use another folder")
        for path in (self.checkpoints, self.figures, *(
                path for pattern in _FILES for path in self.path.glob(pattern))):
            if path.is_symlink():  # a stranger's folder must not have others written to
                raise UserError(f"workdir: {path} is a link out of the folder; replace it by what "
                                "it points to, or link the whole folder")
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path):
            if self.has_run():
                self._make_room(differing_keys(self.read_config(), config, free_keys))
            try:
                # Written even where it is there: a full disk is found out now, not after an hour.
                write_json(self.path / "config.json", config)
            except OSError:
                if is_new:
                    (self.path / ".lock").unlink()
                    self.path.rmdir()
                raise
            self.figures.mkdir(exist_ok=True)
            yield

    def _make_room(self, differing: list[str]) -> None:
        """Moves a diverged run of another config aside; one of the same config stays.

        Raises:
            UserError: there is a run of another config, with checkpoints to go on from.
        """
        has_checkpoints = self.checkpoints.is_dir() and any(
            entry.name.isdecimal() for entry in self.checkpoints.iterdir())
        if not differing or not has_checkpoints:
            return
        if not (self.path / "diverged.json").is_file():
            raise UserError(
                f"workdir: {self.path} holds a run of another config; these keys differ: "
                f"{', '.join(differing)}; use another folder or the same config"
            )
        moved = self.path / "diverged"
        moved = moved / str(len(list(moved.glob("*"))))
        moved.mkdir(parents=True)
        for file in [file for pattern in _FILES for file in self.path.glob(pattern)]:
            file.rename(moved / file.name)
        warn(f"the run in {self.path} had diverged; it was moved to {moved}")

    def mark_diverged(self, step: int) -> None:
        """Notes that the loss was no longer finite at `step`."""
        write_json(self.path / "diverged.json", {"step": step})

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
            config = json.loads(file.read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.path} holds no run: there is no config.json") from None
        except (ValueError, IsADirectoryError, RecursionError):  # no JSON, no UTF-8
            config = None
        if not isinstance(config, dict):
            raise UserError(f"{file} is damaged; restore it or train anew")
        return config

    def write_summary(self, figures: dict[str, float]) -> None:
        """Writes or extends `summary.json`."""
        write_json(self.path / "summary.json", {**self.read_summary(), **figures})

    def read_summary(self) -> dict[str, float]:
        """The final figures; empty before the run has any, and with a warning if damaged."""
        file = self.path / "summary.json"
        if not file.is_file():
            return {}
        try:
            figures = json.loads(file.read_text())
        except (ValueError, RecursionError):  # no JSON, no UTF-8
            figures = None
        if not isinstance(figures, dict) or not all(
            isinstance(value, int | float) for value in figures.values()
        ):
            warn(f"{file} is damaged: its figures are left out")
            return {}
        return figures


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
