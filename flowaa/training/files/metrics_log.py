"""`metrics.jsonl` and TensorBoard's events of a run."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowaa.errors import warn
from flowaa.training import parallel
from flowaa.training.faults.skipping import SKIPPED
from flowaa.training.files.run_folder import RunFolder, write_atomically
from flowaa.training.step import Metrics


class RunningMeans:
    """Means of the metrics since the last row.

    They are saved with a checkpoint, so that the next row of a run that goes on from it is that of
    a run which was never interrupted.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        """Begins with what `to_json` returned, or anew."""
        self._n_calls: int = saved["n_calls"] if saved else 0
        self._sums: dict[str, float] = dict(saved["sums"]) if saved else {}
        self._skipped: list[int] = list(saved["skipped"]) if saved else []  # calls with such steps
        self.skipped_calls: list[int] = []  # of the last row, counted from its end: -1 is the last
        self._pending: list[Metrics] = []  # on the devices, which are not waited for

    def add(self, metrics: Metrics) -> None:
        """Adds the metrics of a call, [n_devices] each, the same on all devices."""
        self._pending.append(metrics)

    def take(self) -> dict[str, float]:
        """The means over the steps that were not skipped, if there were any; begins anew."""
        self._sum_up()
        share = 1.0 - self._sums.pop(SKIPPED, 0.0) / max(self._n_calls, 1)
        means = {name: total / self._n_calls / share
                 for name, total in self._sums.items() if share > 0.0}
        self.skipped_calls = [call - self._n_calls for call in self._skipped]
        self._n_calls, self._sums, self._skipped = 0, {}, []
        return means

    def to_json(self) -> dict[str, Any]:
        """What `__init__` takes."""
        self._sum_up()
        return {"n_calls": self._n_calls, "sums": self._sums, "skipped": self._skipped}

    def _sum_up(self) -> None:
        # One by one in float64: the same numbers, wherever a checkpoint was saved in between.
        for metrics in self._pending:
            for name, value in parallel.unreplicate(metrics).items():
                self._sums[name] = self._sums.get(name, 0.0) + float(value)
                if name == SKIPPED and value:
                    self._skipped.append(self._n_calls)
            self._n_calls += 1
        self._pending = []


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events, continued from a step."""

    def __init__(
        self, folder: RunFolder, step: int, saved: Mapping[str, Any] | None = None
    ) -> None:
        """Opens the files; rows later than the checkpoint, left by a run cut off, are dropped.

        Args:
            folder: the run's.
            step: of the checkpoint that training goes on from.
            saved: what `to_json` returned then, if the checkpoint has it.
        """
        # Imported here: where torch is installed tensorboardX brings it, which takes a second.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._file = folder.path / "metrics.jsonl"
        found = _read_rows(self._file)[: saved["n_rows"] if saved else None]
        self.rows = [row for row in found if row and row["step"] <= step]
        self.means = RunningMeans(saved["means"] if saved else None)
        write_atomically(self._file, "".join(json.dumps(row) + "\n" for row in self.rows))
        # Without the thread of a SummaryWriter, which on a full disk dies and is then waited for.
        self._events = EventsWriter(str(folder.path / "events"))
        if step:  # of an earlier file, events from here on are dropped
            start = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(step=step + 1, session_log=start))

    @property
    def wall_s(self) -> float:
        """Seconds of training until the last row."""
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

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint keeps, to continue from."""
        return {"n_rows": len(self.rows), "means": self.means.to_json()}

    def close(self) -> None:
        """Closes the events' file."""
        self._events.close()


def _read_rows(file: Path) -> list[dict[str, Any] | None]:
    """Rows of a metrics file, None in the place of one that cannot be read, with a warning.

    A last line that was cut off while it was written is no row.
    """
    if not file.is_file():
        return []
    rows = [_row(line) for line in file.read_bytes().splitlines(keepends=True)
            if line.endswith(b"\n") or _row(line)]
    n_broken = rows.count(None)
    if n_broken:
        warn(f"{file}: {n_broken} of {len(rows)} rows cannot be read and are left out")
    return rows


def _row(line: bytes) -> dict[str, Any] | None:
    """A row with a step and a time; None where the line is none."""
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):  # no JSON, no UTF-8
        return None
    is_row = isinstance(row, dict) and type(row.get("step")) is int and (
        isinstance(row.get("wall_s"), int | float))
    return row if is_row else None
