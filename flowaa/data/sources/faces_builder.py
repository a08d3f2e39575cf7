"""The drawn faces as a set of TensorFlow Datasets, which needs no TensorFlow."""

import concurrent.futures
import dataclasses
import io
import os
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from flowaa.data.drawing.expressions import EXTREMES
from flowaa.data.drawing.face import draw_faces
from flowaa.data.drawing.population import draw_population
from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.data.files.pictures import png_bytes

_CHUNK_FACES = 512
_DESCRIPTION = f"""\
Drawn faces of the characters {", ".join(CHARACTER_NAMES)}. Every face is a known mixture of the
extreme expressions {", ".join(EXTREMES)}; `weights` are its parts, in this order.
"""


@dataclasses.dataclass(eq=False, kw_only=True)
class FacesConfig(tfds.core.BuilderConfig):
    """Which faces; the name tells sets with other faces apart."""

    image_size: int = 32  # side in pixels
    n_images: int = 21_000
    nuisance: float = 1.0  # of tilt, shift, size and brightness; 0 = none
    seed: int = 0

    @classmethod
    def of(cls, *, image_size: int, n_images: int, nuisance: float, seed: int) -> "FacesConfig":
        """The config with a name made of its fields."""
        name = f"{image_size}px_n{n_images}_nuisance{nuisance:g}_seed{seed}"
        return cls(name=name, image_size=image_size, n_images=n_images, nuisance=nuisance,
                   seed=seed)


class Faces(tfds.core.GeneratorBasedBuilder):
    """Builder of the drawn faces: `Faces(config="32px")`, or of a `FacesConfig.of(...)`."""

    VERSION = tfds.core.Version("1.0.1")  # a change of any picture or weight is a new version
    BUILDER_CONFIGS: ClassVar[list[FacesConfig]] = [
        FacesConfig(name=f"{image_size}px", image_size=image_size) for image_size in (32, 64)]

    def _info(self) -> tfds.core.DatasetInfo:
        image_size = self.builder_config.image_size
        features = tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(image_size, image_size, 3), encoding_format="png"),
            "character": tfds.features.ClassLabel(names=CHARACTER_NAMES),
            "expression": tfds.features.ClassLabel(names=EXPRESSION_NAMES),
            "weights": tfds.features.Tensor(shape=(len(EXTREMES),), dtype=np.float32),
        })
        # Rows stay in the order in which they are drawn.
        return tfds.core.DatasetInfo(builder=self, description=_DESCRIPTION, features=features,
                                     disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config
        faces = draw_population(config.n_images, seed=config.seed, nuisance=config.nuisance)

        def draw(rows: range) -> list[io.BytesIO]:
            images = draw_faces(faces.characters[rows], faces.weights[rows],
                                image_size=config.image_size, pose=faces.pose[rows])
            return [png_bytes(image) for image in images]

        chunks = [range(start, min(start + _CHUNK_FACES, config.n_images))
                  for start in range(0, config.n_images, _CHUNK_FACES)]
        # NumPy and Pillow draw and encode outside Python's lock.
        threads = concurrent.futures.ThreadPoolExecutor(os.cpu_count(), "flowaa-faces")
        with threads, tqdm(total=config.n_images, desc="drawing faces", unit="face", leave=False,
                           delay=1.0, disable=None) as progress:
            for rows, images in zip(chunks, threads.map(draw, chunks), strict=True):
                for row, image in zip(rows, images, strict=True):
                    yield row, {"image": image,
                                "character": int(faces.characters[row]),
                                "expression": int(faces.expressions[row]),
                                "weights": faces.weights[row]}
                    progress.update()
