"""Every config loads, has the default's keys and no others, and its CPU-sized variant trains."""

import importlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import flowaa
from configs import default
from flowaa.config.check import check_config
from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe

CONFIGS = sorted(path.stem for path in (Path(__file__).parents[1] / "configs").glob("*.py")
                 if path.stem != "__init__")
# Data that has to be brought or downloaded: here noise of the same shape and kind.
SHAPES = {
    "tfds:cifar10": ((32, 32, 3), np.uint8),
    "tfds:mnist": ((28, 28, 1), np.uint8),
    "image_folder": ((32, 32, 3), np.uint8),
    "ferg": ((32, 32, 3), np.uint8),
    "faces": ((32, 32, 3), np.uint8),
    "arrays": ((6,), np.float32),
}


def load(name: str, variant: str = ""):
    return importlib.import_module(f"configs.{name}").get_config(variant)


def flat(config) -> dict:
    """Values by dotted key."""
    return {f"{block}.{key}": value for block, values in config.to_dict().items()
            if isinstance(values, dict) for key, value in values.items()} | {"seed": config.seed}


def noise_of(name: str) -> Dataset:
    shape, dtype = SHAPES[name]
    random = np.random.default_rng(0)
    classes = "abcdef" if name == "faces" else "0123456789"  # as many as there are characters

    def split(n_rows: int) -> Split:
        x = random.normal(size=(n_rows, *shape)) * 40 + 128
        side = random.dirichlet(np.ones(6), n_rows).astype(np.float32) if name == "faces" else None
        return Split(x.clip(0, 255).astype(dtype), np.arange(n_rows, dtype=np.int32) % len(classes),
                     side=side)

    train = split(40)
    spec = describe(train, n_levels=256 if dtype == np.uint8 else 0, class_names=classes,
                    side_names=tuple("abcdef") if name == "faces" else ())
    return Dataset(name, spec, train, split(16), split(16))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("variant", ["", "smoke"])
def test_keys_are_the_defaults(name, variant):
    config, known = load(name, variant), default.get_config()
    assert set(flat(config)) == set(flat(known))
    for key, value in flat(known).items():
        found = flat(config)[key]
        assert type(found) is type(value), f"{key} is {found!r}, the default {value!r}"
    check_config(config)
    with pytest.raises(ValueError, match="no variant 'tiny'; there is 'smoke'"):
        load(name, "tiny")


@pytest.mark.parametrize("name", CONFIGS)
def test_docstring_is_the_experiments_card(name):
    """It says how to run it."""
    module = importlib.import_module(f"configs.{name}")
    if name != "default":
        assert f"--config=configs/{name}.py" in module.__doc__
        assert "--workdir=" in module.__doc__


@pytest.fixture
def fast_compilation():
    """Large networks take few steps here: compile them fast rather than well."""
    option = "jax_disable_most_optimizations"
    before = jax.config.values.get(option)
    if before is not None:
        jax.config.update(option, True)
    yield
    if before is not None:
        jax.config.update(option, before)


# Their networks take half a minute to compile; those of the others have the same parts.
SLOW = ("digits_archetypes", "faces", "faces_unsupervised", "ferg", "image_folder", "mnist",
        "thesis")


@pytest.mark.usefixtures("fast_compilation")
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CONFIGS])
def test_smoke_variant_trains(name, tmp_path):
    config = load(name, "smoke")
    config.training.compilation_cache = ""
    config.training.n_devices = 1
    data = noise_of(config.data.name) if config.data.name in SHAPES else None
    figures = flowaa.train(config.lock(), tmp_path, data=data).summary
    assert figures["steps"] == config.training.steps >= 2
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    nll = [row["train/nll"] for row in rows if "train/nll" in row]
    assert len(nll) == config.training.steps // config.training.log_every_steps
    assert np.isfinite(nll).all()
    assert np.isfinite(figures["test/bits_per_dim"])
