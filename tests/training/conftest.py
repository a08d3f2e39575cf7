"""What makes a training test quick: programs compiled once, no pictures."""

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Every run compiles the same few programs anew; here it finds them in a cache."""
    old = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_compilation_cache_dir", old[0])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", old[1])


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr("experiments.train._save_curves", lambda folder, rows: None)
    monkeypatch.setattr("experiments.train._save_samples", lambda folder, run, dataset: None)
