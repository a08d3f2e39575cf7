"""For all tests: eight devices on one CPU, asked for before JAX starts, and a run to look at."""

import gc
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
_FLAGS = {
    "--xla_force_host_platform_device_count": "8",
    # Programs are many and small, and run for milliseconds: most of the time is LLVM's.
    "--xla_backend_optimization_level": "0",
    "--xla_llvm_disable_expensive_passes": "true",
}
# Single operations compile in half the time without these. XLA ends the process at a flag that it
# does not know, so only versions that were seen to know this one are asked.
if (0, 6) <= tuple(map(int, version("jaxlib").split(".")[:2])) <= (0, 10):
    _FLAGS["--xla_cpu_use_fusion_emitters"] = "false"
_given = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = " ".join(
    [_given, *(f"{name}={value}" for name, value in _FLAGS.items() if name not in _given)]).strip()
# BLAS's threads spin while they wait: beside another worker, small matrices took ten times as long.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Both workers, and the next run of the tests, find what is compiled already.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
_MOST_MAPS = 30_000


@pytest.fixture(autouse=True)
def shared_cache() -> Iterator[None]:
    """After a test that trained with a cache of its own, the shared one takes everything again."""
    yield
    if jax := sys.modules.get("jax"):
        for name in ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"):
            value = os.environ[name.upper()]
            jax.config.update(name, float(value) if name.endswith("secs") else value)


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Lets compiled programs go: each maps memory, and Linux ends a process with 65 530 maps.

    A worker with two thousand tests came there, and crashed while it read one more program.
    """
    yield
    maps = Path("/proc/self/maps")
    if (jax := sys.modules.get("jax")) and maps.exists() and (
            maps.read_bytes().count(b"\n") > _MOST_MAPS):
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unconditional run on points of two classes; to be left as it is."""
    from tests.training.tiny import config_of, train

    folder = tmp_path_factory.mktemp("plane")
    train(config_of(), str(folder))
    return folder


@pytest.fixture(scope="session")
def plane_run(plane: Path):
    import flowaa

    return flowaa.load_run(plane)
