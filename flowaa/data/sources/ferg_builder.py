"""FERG-DB as a set of TensorFlow Datasets, prepared without TensorFlow from the user's files."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.data.files.pictures import by_reason, decode_all, png_bytes
from flowaa.data.sources.ferg_files import HOW_TO_GET, Picture, list_ferg
from flowaa.errors import UserError


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

    VERSION = tfds.core.Version("1.1.0")  # a change of any picture is a new version
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
        decoded = decode_all([picture.path for picture in pictures],
                             self.builder_config.image_size, "preparing FERG")
        for row, (picture, (image, reason)) in enumerate(zip(pictures, decoded, strict=True)):
            if image is None:
                broken[picture.name] = reason
            else:
                yield row, {"image": png_bytes(image), "character": picture.character,
                            "expression": picture.expression}
        if len(broken) == len(pictures):
            raise UserError(f"none of FERG's {len(pictures)} pictures can be used: "
                            f"{by_reason(broken)}; unpack the release again")
