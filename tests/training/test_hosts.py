"""Several processes that train one run on this machine, as `benchmark hosts` does it at length."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.benchmarks import _hosts

ROOT = Path(__file__).parents[2]
CONFIG, STEPS, BOUND = "configs/default.py:smoke", 12, 1e-5
# All that a state has, and rows that are read in shares: nothing lies on the devices.
KEYS = {
    "data.n_rows": 200, "data.device_bytes": 0, "flow.n_blocks": "(2,)", "flow.width": "(8,)",
    "flow.depth": "(1,)", "optimizer.ema_decay": 0.9, "training.batch_size": 16,
    "training.steps": STEPS, "training.steps_per_call": 1, "training.log_every_steps": 2,
    "training.evaluate_every_steps": 4, "training.compilation_cache": "",
}
LONG = {**KEYS, "training.steps": 300, "training.log_every_steps": 20,
        "training.evaluate_every_steps": 100}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """One process with one device."""
    folder = tmp_path_factory.mktemp("whole") / "1x1"
    _hosts.finish(CONFIG, KEYS, folder, (1, 1))
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """Two processes, long enough to stop one."""
    folder = tmp_path_factory.mktemp("two") / "2x1"
    _hosts.finish(CONFIG, LONG, folder, (2, 1))
    return folder


def losses(workdir: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["validation/nll"] for row in rows if "validation/nll" in row}


@pytest.mark.slow
@pytest.mark.parametrize("layout", [(1, 8), (2, 2), (4, 1)])
def test_every_layout_trains_the_same(layout, whole, tmp_path):
    _hosts.finish(CONFIG, KEYS, tmp_path / "run", layout)
    assert _hosts.relative_difference(tmp_path / "run", whole, STEPS) < BOUND
    assert losses(tmp_path / "run") == pytest.approx(losses(whole), rel=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_on_another_layout(whole, tmp_path):
    longer = {**KEYS, "optimizer.schedule": "constant", "optimizer.warmup_steps": 2}
    _hosts.finish(CONFIG, longer, tmp_path / "expected", (1, 1))
    _hosts.finish(CONFIG, {**longer, "training.steps": 8}, tmp_path / "run", (2, 2))
    _hosts.finish(CONFIG, longer, tmp_path / "run", (1, 8))
    assert _hosts.relative_difference(tmp_path / "run", tmp_path / "expected", STEPS) < BOUND


@pytest.mark.slow
@pytest.mark.parametrize(("index", "number"), [
    (1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGTERM), (0, signal.SIGINT)])
def test_one_of_two_is_stopped(index, number, two):
    found = _hosts.stop_one(CONFIG, LONG, two, 300, index=index, number=number)
    assert found["wait_s"] < 120.0
    assert found["wrong_ends"] == 0
    assert not found["different"]


@pytest.mark.slow
def test_an_error_is_said_by_all(tmp_path):
    """What the main process alone finds out: the folder is another run's."""
    _hosts.finish(CONFIG, KEYS, tmp_path / "run", (1, 1))
    start = time.perf_counter()
    found = _hosts.ends(_hosts.start(CONFIG, {**KEYS, "flow.width": "(9,)"}, tmp_path / "run",
                                     (2, 1)))
    for status, line in found:
        assert status == 2
        assert "flow.width" in line
    assert time.perf_counter() - start < 60.0


@pytest.mark.slow
def test_processes_with_different_configs_do_not_train(tmp_path):
    processes = _hosts.start(CONFIG, KEYS, tmp_path / "run", (2, 1))
    processes[1].kill()
    processes[1].communicate()
    processes[1] = subprocess.Popen(
        [*processes[1].args, "--config.optimizer.learning_rate=0.5"], cwd=ROOT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": (
            "--xla_force_host_platform_device_count=1")},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for status, line in _hosts.ends(processes):
        assert status == 2
        assert "config or data of process 1 differ from those of process 0" in line


@pytest.mark.parametrize(("flags", "words"), [
    (["--distributed"], ["no cluster was found", "--coordinator_address", "--num_processes",
                         "--process_id"]),
    (["--distributed", "--coordinator_address=localhost", "--num_processes=2", "--process_id=0"],
     ["--coordinator_address", "HOST:PORT"]),
    (["--distributed", "--coordinator_address=localhost:1", "--num_processes=2",
      "--process_id=2"], ["--process_id", "count from 0"]),
    (["--distributed", "--coordinator_address=localhost:1", "--num_processes=2",
      "--process_id=1", "--join_timeout_s=1"], ["did not meet within 1 s"]),
    (["--num_processes=2"], ["--num_processes", "--distributed"]),
])
def test_what_is_wrong_with_the_flags_is_said_in_one_line(flags, words, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "experiments.train", f"--config={CONFIG}",
         f"--workdir={tmp_path / 'run'}", *flags], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("error: ")
    for word in words:
        assert word in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_said_in_one_line(tmp_path):
    """JAX would end with a segmentation fault."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        ended = subprocess.run(
            [sys.executable, "-m", "experiments.train", f"--config={CONFIG}",
             f"--workdir={tmp_path / 'run'}", "--distributed", "--num_processes=2",
             f"--coordinator_address=localhost:{server.getsockname()[1]}", "--process_id=0"],
            cwd=ROOT, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "process 0 cannot listen at port" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_signal_is_heard_while_the_others_are_waited_for(tmp_path):
    process = _hosts.start(CONFIG, KEYS, tmp_path / "run", (2, 1))
    process.pop().kill()
    time.sleep(3.0)
    process[0].send_signal(signal.SIGTERM)
    assert _hosts.ends(process) == [(128 + signal.SIGTERM, "stopped by SIGTERM")]
