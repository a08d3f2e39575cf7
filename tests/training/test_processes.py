"""Kills and signals to real processes, as `python -m experiments.benchmark faults` counts them."""

import pytest

from experiments.benchmarks import _processes

pytestmark = pytest.mark.slow


def test_kills_change_neither_parameters_nor_rows():
    figures = _processes.try_kills(6)
    assert figures["kills"] == 6
    assert figures["runs"] >= 1
    assert figures["different"] == 0


def test_signals_at_any_time_end_in_one_line_and_leave_a_folder_to_go_on_with():
    figures = _processes.try_signals(6)
    assert figures["signals"] == 6
    for name in ("not_one_line", "wrong_status", "unusable"):
        assert figures[name] == 0, name
