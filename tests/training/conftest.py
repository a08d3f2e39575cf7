"""What makes a training test quick: programs compiled once, no pictures."""

import pytest

from flowaa.training.files.compilation_cache import enable_cache


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Every run compiles the same few programs anew; here it finds them in a cache."""
    enable_cache(str(tmp_path_factory.mktemp("xla")))


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
    monkeypatch.setattr("flowaa.run.train._save_samples", lambda folder, run, dataset: None)
