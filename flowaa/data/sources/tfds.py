"""Image sets of TensorFlow Datasets, read without TensorFlow once they are prepared."""

import difflib
import importlib.util
import socket
import urllib.request
from typing import Any

import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe
from flowaa.data.files.checks import check_labels
from flowaa.data.files.prepared import SourceRows
from flowaa.data.rows import into_memory
from flowaa.data.splitting import complete
from flowaa.errors import UserError

N_LEVELS = 256
_DOWNLOAD_HOST = "storage.googleapis.com"  # what TensorFlow Datasets asks first


def tensorflow_dataset(name: str, *, data_dir: str, seed: int, validation_fraction: float,
                       test_fraction: float) -> Dataset:
    """A data set with an image and maybe a class, e.g. `mnist`, `emnist/letters` or `cifar10`.

    A set that lies prepared in `data_dir` in the array_record format needs neither TensorFlow nor a
    network; any other is downloaded and prepared first, which needs both.

    Args:
        name: `NAME`, `NAME/CONFIG` or with `:VERSION`, as in the catalogue.
        data_dir: where prepared sets lie; "" for the library's default.
        seed: governs the splits made here.
        validation_fraction: share of the training images, unless the set brings a validation split.
        test_fraction: share of all images, unless the set brings a test split.

    Returns:
        Images [N, H, W, C] uint8, labelled if the set has one class label.

    Raises:
        UserError: if there is no such set, it cannot be prepared, or it does not hold uint8 images
            of one size.
    """
    # Imported here, since it takes a second that other data sets need not wait for.
    import tensorflow_datasets as tfds

    builder = _prepared(tfds, name, data_dir)
    image_key, label_key = _features(tfds, name, builder.info)
    if "train" not in builder.info.splits:
        raise UserError(f"tfds:{name} has no training split, only "
                        f"{', '.join(builder.info.splits)}; choose another set")

    given = {split: _read(tfds, name, builder, split, image_key, label_key)
             for split in ("train", "validation", "test") if split in builder.info.splits}
    train, validation, test = complete(given, seed=seed, test_fraction=test_fraction,
                                       validation_fraction=validation_fraction)
    class_names = builder.info.features[label_key].names if label_key else ()
    spec = describe(train, n_levels=N_LEVELS, class_names=class_names)
    return Dataset(f"tfds:{name}", spec, train, validation, test)


def _prepared(tfds: Any, name: str, data_dir: str) -> Any:
    """A builder whose data lies on the disk, readable without TensorFlow."""
    try:
        builder = tfds.builder(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(_no_such_set(tfds, name)) from error
    except ImportError as error:  # some sets need TensorFlow for their description already
        raise UserError(f"tfds:{name} cannot be opened without TensorFlow: "
                        'pip install -e ".[tfds]"') from error
    except (ValueError, TypeError) as error:  # a malformed name; no such config or version
        raise UserError(f"tfds:{name} cannot be opened ({_first_line(error.__cause__ or error)}); "
                        "see the names at www.tensorflow.org/datasets/catalog") from error
    if not builder.info.splits:
        _prepare(tfds, name, builder)
    suitable = tfds.core.FileFormat.with_random_access()
    if not builder.info.available_file_formats() & suitable:
        raise UserError(f"tfds:{name} lies in {builder.data_path} as "
                        f"{builder.info.file_format.value}, which needs TensorFlow to read; set "
                        "config.data.dir to an empty folder, to prepare it there as array_record")
    return builder


def _prepare(tfds: Any, name: str, builder: Any) -> None:
    """Downloads and prepares a set, after checks that fail at once instead of in minutes."""
    elsewhere = "or set config.data.dir to a folder where it is prepared as array_record"
    missing = f"tfds:{name} is not prepared in {builder.data_path}"
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(f"{missing}, and to prepare it takes TensorFlow: "
                        f'pip install -e ".[tfds]", {elsewhere}')
    if not _has_network():
        raise UserError(f"{missing}, and {_DOWNLOAD_HOST} cannot be reached to download it; "
                        f"connect to the network, {elsewhere}")
    try:
        builder.download_and_prepare(file_format=tfds.core.FileFormat.ARRAY_RECORD)
    # Each source fails in its own way: a moved file, a login, a full disk, a wrong checksum.
    except Exception as error:
        raise UserError(f"{missing}, and to download and prepare it failed ({_first_line(error)}); "
                        f"try again, {elsewhere}") from error


def _has_network() -> bool:
    """Whether the download host is known; TensorFlow Datasets itself tries for minutes."""
    if urllib.request.getproxies():
        return True  # names are then the proxy's to resolve
    try:
        socket.getaddrinfo(_DOWNLOAD_HOST, 443)
    except OSError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _no_such_set(tfds: Any, name: str) -> str:
    near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
    return (f"tfds:{name}: there is no such data set; "
            + (f"did you mean {' or '.join(near)}?" if near else
               "see the names at www.tensorflow.org/datasets/catalog"))


def _features(tfds: Any, name: str, info: Any) -> tuple[str, str | None]:
    """The keys of the image and of the class, which is None unless there is exactly one."""
    images = [key for key, feature in info.features.items()
              if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in info.features.items()
              if isinstance(feature, tfds.features.ClassLabel)]
    if len(images) != 1:
        raise UserError(f"tfds:{name} has {len(images)} images a row where one is needed; choose "
                        "another set")
    feature = info.features[images[0]]
    if None in feature.shape or feature.np_dtype != np.uint8:
        raise UserError(f"tfds:{name} has images of shape {feature.shape} and type "
                        f"{np.dtype(feature.np_dtype)} where uint8 of one size are needed; export "
                        "it to a folder and use configs/image_folder.py")
    return images[0], labels[0] if len(labels) == 1 else None


def _read(tfds: Any, name: str, builder: Any, split: str, image_key: str,
          label_key: str | None) -> Split:
    """One split, in memory unless it is too large."""
    source = builder.as_data_source(split)
    if not len(source):
        raise UserError(f"tfds:{name}: its {split} split is empty; choose another set")
    rows = into_memory(SourceRows(source, image_key), f"reading {name} {split}")
    labels = None
    if label_key is not None:
        skip = {image_key: tfds.decode.SkipDecoding()}
        labels = check_labels(_labels(builder.as_data_source(split, decoders=skip), label_key),
                              len(source), f"tfds:{name}: {label_key}").astype(np.int32)
    return Split(rows, labels)


def _labels(source: Any, label_key: str) -> np.ndarray:
    return np.array([example[label_key] for example in source.__getitems__(range(len(source)))])
