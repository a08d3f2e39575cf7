"""FERG-DB as a set of TensorFlow Datasets, prepared without TensorFlow from the user's files."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tqdm import tqdm

from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.data.files.pictures import png_bytes
from flowaa.data.sources.ferg_files import HOW_TO_GET, Picture, list_ferg
from flowaa.data.sources.image_folder import try_decode
from flowaa.errors import UserError

_CHUNK_PICTURES = 512  # decoded ahead of writing


@dataclasses.dataclass(eq=False, kw_only=True)
class FergConfig(tfds.core.BuilderConfig):
    """Size of the pictures; the name tells sets of other files apart."""

    image_size: int = 32

    @classmethod
    def of(cls, *, image_size: int, fingerprint: str) -> "FergConfig":
        """The config of a listing's files."""
        return cls(name=f"{image_size}px_{fingerprint}", image_size=image_size)


class Ferg(tfds.core.GeneratorBasedBuilder):
    """Builder of FERG-DB; its manual directory is `FERG_DB_256` or the folder that holds it."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list[FergConfig]] = [
        FergConfig(name=f"{image_size}px", image_size=image_size) for image_size in (32, 64)]
    MANUAL_DOWNLOAD_INSTRUCTIONS = HOW_TO_GET

    def _info(self) -> tfds.core.DatasetInfo:
        image_size = self.builder_config.image_size
        features = tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(image_size, image_size, 3), encoding_format="png"),
            "character": tfds.features.ClassLabel(names=CHARACTER_NAMES),
            "expression": tfds.features.ClassLabel(names=EXPRESSION_NAMES),
        })
        # Rows stay in the order of the files. The metadata are names and reasons of broken files.
        return tfds.core.DatasetInfo(
            builder=self, description="Facial Expression Research Group database, scaled down.",
            features=features, disable_shuffling=True, metadata=tfds.core.MetadataDict())

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples(list_ferg(dl_manager.manual_dir).pictures)}

    def _generate_examples(
        self, pictures: tuple[Picture, ...]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        broken = self.info.metadata  # written to the disk with the set
        # Pillow decodes, scales and encodes outside Python's lock.
        threads = concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1), "flowaa-ferg")
        with threads, tqdm(total=len(pictures), desc="preparing FERG", unit="image",
                           disable=None) as progress:
            for start in range(0, len(pictures), _CHUNK_PICTURES):
                chunk = pictures[start:start + _CHUNK_PICTURES]
                encoded = threads.map(self._scaled, (picture.path for picture in chunk))
                for row, (picture, image) in enumerate(zip(chunk, encoded, strict=True), start):
                    progress.update()
                    if isinstance(image, str):
                        broken[picture.name] = image
                        continue
                    yield row, {"image": image, "character": picture.character,
                                "expression": picture.expression}
        if len(broken) == len(pictures):
            raise UserError(f"none of FERG's {len(pictures)} pictures can be read, e.g. "
                            f"{pictures[0].path} ({broken[pictures[0].name]}); unpack the release "
                            "again")

    def _scaled(self, path: Path) -> Any:
        """A picture as encoded bytes, or why it cannot be decoded."""
        image = try_decode(path, self.builder_config.image_size)
        return image if isinstance(image, str) else png_bytes(image)
