"""The files of a run: rows and events that continue, and never half a file."""

import json
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from flowaa.errors import FlowaaWarning
from flowaa.training.files.metrics_log import MetricsLog
from flowaa.training.files.run_folder import RunFolder, write_json


def events(folder: Path) -> list[Event]:
    """TensorBoard's events: records of a length, its checksum, the bytes and their checksum."""
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12:12 + length]))
            content = content[12 + length + 4:]
    return found


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def test_events_are_the_rows(folder, tmp_path):
    log = MetricsLog(folder, 0)
    log.write(5, 0.5, {"train/nll": 1.5, "train/bits_per_dim": 2.5})
    # Before it is closed: a run that is killed has its events too.
    scalars = [(event.step, value.tag, value.simple_value) for event in events(tmp_path)
               for value in event.summary.value]
    assert scalars == [(5, "train/nll", 1.5), (5, "train/bits_per_dim", 2.5)]
    log.close()


def test_rows_after_the_restored_step_are_dropped(folder, tmp_path):
    log = MetricsLog(folder, 0)
    for step in (2, 4, 6):
        log.write(step, float(step), {"train/nll": 1.0})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "wall')  # cut off while it was written
    log = MetricsLog(folder, 4)
    assert [row["step"] for row in log.rows] == [2, 4]
    assert log.wall_s == 4.0
    log.write(6, 7.0, {"train/nll": 3.0})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["train/nll"]) for row in rows] == [(2, 1.0), (4, 1.0), (6, 3.0)]
    starts = [event.step for event in events(tmp_path)
              if event.session_log.status == SessionLog.START]
    assert starts == [5]
    log.close()


def test_rows_that_cannot_be_read_are_counted_and_the_others_kept(folder, tmp_path):
    log = MetricsLog(folder, 0)
    for step in range(1, 9):
        log.write(step, float(step), {"train/nll": 1.0})
    saved = log.to_json()
    log.close()
    file = tmp_path / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1:6] = [b"[1]\n", b'{"wall_s": 3.0}\n', b'{"step": 4, \n', b"\xff\xfe\n", b"null\n"]
    file.write_bytes(b"".join(lines) + lines[-1])  # and a row of after the checkpoint
    with pytest.warns(FlowaaWarning, match="5 of 9 rows cannot be read and are left out"):
        log = MetricsLog(folder, 8, saved)
    log.close()
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 7, 8]


def test_what_is_written_is_written_whole(tmp_path, monkeypatch):
    file = tmp_path / "summary.json"
    write_json(file, {"a": 1})

    def run_out_of_room(path, text):
        with path.open("w") as partial:
            partial.write(text[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", run_out_of_room)
    with pytest.raises(OSError, match="No space"):
        write_json(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_free_keys_may_differ_and_others_not(folder, tmp_path):
    config = {"seed": 0, "training": {"steps": 4, "n_devices": 0, "compilation_cache": "a"},
              "flow": {"width": (8,)}}
    with folder.claimed(config):
        pass
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    other = json.loads(json.dumps(config))
    other["training"] |= {"n_devices": 2, "compilation_cache": ""}
    with folder.claimed(other):  # lists for tuples, other devices
        pass
    different = {**config, "seed": 1, "flow": {"width": (9,)}}
    with (pytest.raises(ValueError, match=r"these keys differ: flow\.width, seed;"),
          folder.claimed(different)):
        pass


def test_summary_is_extended(folder, tmp_path):
    folder.write_summary({"test/nll": 1.0, "steps": 4})
    folder.write_summary({"test/nll": 2.0})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"test/nll": 2.0, "steps": 4}
