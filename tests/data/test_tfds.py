"""TensorFlow Datasets without TensorFlow, on a set that is made here."""

import importlib.util
import io
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

tfds = pytest.importorskip("tensorflow_datasets")

from flowaa.data import rows  # noqa: E402
from flowaa.data.sources.tfds import tensorflow_dataset  # noqa: E402
from flowaa.errors import UserError  # noqa: E402

SIZES = {"train": 20, "test": 6}


def png(level: int) -> io.BytesIO:
    """An encoded image: TFDS would ask TensorFlow to encode an array."""
    encoded = io.BytesIO()
    Image.fromarray(np.full((6, 5), level, np.uint8)).save(encoded, "PNG")
    encoded.seek(0)
    return encoded


class _Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Grey images of level i, of class i mod 2."""

    VERSION = tfds.core.Version("1.0.0")
    splits = SIZES
    shape = (6, 5, 1)

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=self.shape),
            "label": tfds.features.ClassLabel(names=["even", "odd"])}))

    def _split_generators(self, dl_manager):
        return {name: self._examples(size) for name, size in self.splits.items()}

    def _generate_examples(self):
        raise NotImplementedError

    def _examples(self, size):
        for index in range(size):
            yield index, {"image": png(index), "label": index % 2}


class TinyDigits(_Tiny, skip_registration=True):
    pass


class TinyTrainOnly(_Tiny, skip_registration=True):
    splits = {"train": 20}  # noqa: RUF012


class TinyTestOnly(_Tiny, skip_registration=True):
    splits = {"test": 20}  # noqa: RUF012


class TinyAnySize(_Tiny, skip_registration=True):
    shape = (None, None, 1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (TinyDigits, TinyTrainOnly, TinyTestOnly, TinyAnySize):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return str(folder)


def load(name: str, data_dir: str):
    return tensorflow_dataset(name, data_dir=data_dir, seed=0, validation_fraction=0.1,
                              test_fraction=0.3)


@pytest.mark.parametrize("memory_bytes", [2**30, 0], ids=["in memory", "on disk"])
def test_a_prepared_set_is_read_with_its_labels(data_dir, monkeypatch, memory_bytes):
    monkeypatch.setattr(rows, "MEMORY_BYTES", memory_bytes)
    dataset = load("tiny_digits", data_dir)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert [len(split) for split in splits] == [18, 2, 6]
    levels = []
    for split in splits:
        x = split.x[np.arange(len(split))]
        assert x.dtype == np.uint8
        assert x.shape[1:] == (6, 5, 1)
        assert (x == x[:, :1, :1]).all()
        np.testing.assert_array_equal(x[:, 0, 0, 0] % 2, split.y)
        levels.append(x[:, 0, 0, 0].tolist())
    assert sorted(levels[0] + levels[1]) == list(range(20))
    assert sorted(levels[2]) == list(range(6))
    assert dataset.spec.class_names == ("even", "odd")
    assert (dataset.spec.n_levels, dataset.spec.n_classes) == (256, 2)


def test_a_set_without_test_split_gets_one(data_dir):
    dataset = load("tiny_train_only", data_dir)
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [13, 1, 6]


@pytest.mark.parametrize(("name", "message"), [
    ("tiny_test_only", "no training split"), ("tiny_any_size", "uint8 of one size"),
    ("minst", "did you mean mnist"), ("qqqqqqqqqq", "no such data set"),
    ("mnist/no_such_config", "cannot be opened"), ("", "cannot be opened")])
def test_an_unusable_set_ends_in_one_line(data_dir, name, message):
    with pytest.raises(UserError, match=message) as error:
        load(name, data_dir)
    assert "\n" not in str(error.value)


def test_a_download_without_tensorflow_or_network_ends_at_once(data_dir, monkeypatch):
    def no_network(*_args):
        raise socket.gaierror("no network here")

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    for has_tensorflow, message in ((False, r"\.\[tfds\]"), (True, "connect to the network")):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest, found=has_tensorflow: (
            found or None) if name == "tensorflow" else find_spec(name, *rest))
        began = time.monotonic()
        with pytest.raises(UserError, match=message) as error:
            load("mnist", data_dir)
        assert "config.data.dir" in str(error.value)
        assert time.monotonic() - began < 10.0


def test_the_data_layer_loads_neither_data_sets_nor_their_libraries():
    modules = ["batches", *(f"sources.{name}" for name in (
        "arrays", "digits", "faces", "ferg", "image_folder", "keller", "tfds", "toy"))]
    program = ("import sys, importlib\n"
               f"for name in {modules}: importlib.import_module('flowaa.data.' + name)\n"
               "heavy = {'sklearn', 'tensorflow_datasets', 'tensorflow', 'matplotlib'}\n"
               "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
