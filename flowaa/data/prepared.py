"""Sets of our own builders: prepared once as TensorFlow Datasets does, then read from the disk."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flowaa.data.dataset import Rows
from flowaa.data.tfds import SourceRows, into_memory
from flowaa.errors import UserError

_MEMORY_BYTES = 2**30  # larger sets are decoded anew each time they are read


def prepared(make_builder: Callable[[], Any], *, key: str, manual_dir: Path | None = None) -> Any:
    """A builder whose set lies on the disk, prepared here if it does not.

    The set appears at once when it is whole, so that an interrupted preparation leaves none, and
    of several processes that prepare it at the same time each ends up with the same one.

    Args:
        make_builder: makes the builder; called anew to read what was prepared.
        key: the config's key for the folder of prepared sets, for messages.
        manual_dir: where the user's own files lie, if the set is made of them.

    Raises:
        UserError: if the set cannot be written.
    """
    import tensorflow_datasets as tfds

    with _quiet():
        builder = make_builder()
        if builder.data_path.exists():
            return builder
        try:
            builder.download_and_prepare(
                file_format=tfds.core.FileFormat.ARRAY_RECORD,
                download_config=tfds.download.DownloadConfig(
                    manual_dir=manual_dir, try_download_gcs=False))
        except OSError as error:
            # Another process that was first leaves a folder that ours cannot replace.
            if not builder.data_path.exists():
                raise UserError(f"{builder.name} cannot be prepared in {builder.data_path} "
                                f"({error.strerror or error}); set --config.{key} to a folder that "
                                "can be written to, on a disk with room") from error
        return make_builder()


def read_images(builder: Any) -> Rows:
    """The images of a prepared set's one split, in memory unless there are too many."""
    with _quiet():
        source = builder.as_data_source("train")
        rows = SourceRows(source, "image")
        n_bytes = len(rows) * int(np.prod(builder.info.features["image"].shape))
        if n_bytes > _MEMORY_BYTES:
            return rows
        return into_memory(rows, f"reading {builder.name}")


def read_columns(builder: Any, *keys: str) -> tuple[np.ndarray, ...]:
    """What a prepared set's one split has beside the images: arrays [N, ...], one a key."""
    import tensorflow_datasets as tfds

    skip = {"image": tfds.decode.SkipDecoding()}
    source = builder.as_data_source("train", decoders=skip)
    examples = source.__getitems__(range(len(source)))
    return tuple(np.array([example[key] for example in examples]) for key in keys)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from announcing downloads, which our sets have none of, and from its own bars."""
    import tensorflow_datasets as tfds

    logger = logging.getLogger("absl")
    level = logger.level
    tfds.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        tfds.enable_progress_bar()
