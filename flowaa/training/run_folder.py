"""The folder of a run: its config, its metrics and its summary.

- `config.json`: the locked config the run was started with
- `checkpoints/`: orbax
- `metrics.jsonl`: a row per log step, with step, wall_s and named scalars
- `summary.json`: the final figures
- `figures/*.png`, and TensorBoard's event files
"""

import json
import os
import time
from collections.abc import Iterable
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
        file = self.path / "summary.json"
        old = json.loads(file.read_text()) if file.is_file() else {}
        write_json(file, {**old, **figures})


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events, continued from a step."""

    def __init__(self, folder: RunFolder, step: int) -> None:
        """Rows after `step`, left by a run that was cut off, are dropped."""
        # Imported here: where torch is installed tensorboardX brings it, which takes a second.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._file = folder.path / "metrics.jsonl"
        self.rows = [row for row in _read_rows(self._file) if row["step"] <= step]
        _write_atomically(self._file, "".join(json.dumps(row) + "\n" for row in self.rows))
        # Without the thread of a SummaryWriter, which on a full disk dies and is then waited for.
        self._events = EventsWriter(str(folder.path / "events"))
        if step:  # of an earlier file, events from here on are dropped
            start = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(step=step + 1, session_log=start))

    @property
    def wall_s(self) -> float:
        """Seconds of training that the rows speak of."""
        return self.rows[-1]["wall_s"] if self.rows else 0.0

    def write(self, step: int, wall_s: float, scalars: dict[str, float]) -> None:
        """Adds a row."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        row = {"step": step, "wall_s": round(wall_s, 3), **scalars}
        self.rows.append(row)
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in scalars.items():
            self._events.write_event(
                Event(wall_time=time.time(), step=step, summary=scalar(name, value))
            )
        self._events.flush()

    def close(self) -> None:
        """Closes the events' file."""
        self._events.close()


def write_json(file: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    _write_atomically(file, json.dumps(value, indent=2) + "\n")


def _write_atomically(file: Path, text: str) -> None:
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_text(text)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _read_rows(file: Path) -> Iterable[dict[str, Any]]:
    """Rows of a metrics file; a last line that was cut off is not one."""
    if not file.is_file():
        return
    for line in file.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


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
