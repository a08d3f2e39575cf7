"""What makes a training test quick: no pictures."""

import pytest


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr("flowaa.run.train._save_curves", lambda folder, rows: None)
    monkeypatch.setattr("flowaa.run.train._save_samples", lambda folder, run, dataset: None)
