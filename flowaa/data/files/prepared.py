"""Our own TensorFlow Datasets builders: prepared once, then read from the disk."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flowaa.data.dataset import Rows
from flowaa.data.rows import into_memory
from flowaa.errors import UserError


class SourceRows:
    """Images of a TFDS data source, decoded when they are read."""

    def __init__(self, source: Any, image_key: str) -> None:
        self._source = source
        self._image_key = image_key

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        examples = self._source.__getitems__(np.asarray(indices).tolist())
        return np.stack([example[self._image_key] for example in examples])


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
                                f"({error.strerror or error}); set config.{key} to a folder that "
                                "can be written to, on a disk with room") from error
        return make_builder()


def read_images(builder: Any) -> Rows:
    """The images of a prepared set's one split, in memory unless there are too many."""
    with _quiet():
        source = builder.as_data_source("train")
        return into_memory(SourceRows(source, "image"), f"reading {builder.name}")


def read_columns(builder: Any, *keys: str) -> tuple[np.ndarray, ...]:
    """Columns of a prepared set beside its images: arrays [N, ...], one a key."""
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
