"""`metrics.jsonl` and TensorBoard's events of a run."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowaa.training.files.run_folder import RunFolder, write_atomically


class MetricsLog:
    """`metrics.jsonl` and TensorBoard events, continued from a step."""

    def __init__(self, folder: RunFolder, step: int) -> None:
        """Rows after `step`, left by a run that was cut off, are dropped."""
        # Imported here: where torch is installed tensorboardX brings it, which takes a second.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._file = folder.path / "metrics.jsonl"
        self.rows = [row for row in _read_rows(self._file) if row["step"] <= step]
        write_atomically(self._file, "".join(json.dumps(row) + "\n" for row in self.rows))
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


def _read_rows(file: Path) -> Iterable[dict[str, Any]]:
    """Rows of a metrics file; a last line that was cut off is not one."""
    if not file.is_file():
        return
    for line in file.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
