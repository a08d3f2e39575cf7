"""Drawn faces: a substitute for FERG whose archetypes and weights are known."""

import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.description import describe
from flowaa.data.drawing.expressions import EXTREMES
from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES, NAMES, check_label
from flowaa.data.files.prepared import prepared, read_columns, read_images
from flowaa.data.seeding import Stream, generator
from flowaa.data.splitting import check_n_rows, complete
from flowaa.errors import UserError

N_LEVELS = 256
_SMALLEST_SIZE = 8
_N_KINDS = len(CHARACTER_NAMES) * len(EXPRESSION_NAMES)


def faces(*, dir: str, label: str, image_size: int, n_rows: int, nuisance: float, seed: int,
          validation_fraction: float, test_fraction: float) -> Dataset:
    """Six characters whose faces are known mixtures of six extreme expressions.

    The true archetypes are `flowaa.data.drawing.face.extreme_faces`.

    Args:
        dir: where prepared sets lie; "" for the default of TensorFlow Datasets. The first time that
            a set is asked for, it is drawn; another seed, size, number or nuisance is another set.
        label: "character" or "expression".
        image_size: side in pixels.
        n_rows: faces drawn, all splits together.
        nuisance: scale of the variation of tilt, shift, size and brightness; 0 = none.
        seed: governs the faces and the splits.
        validation_fraction: share of the faces that are not for the test.
        test_fraction: share of all faces.

    Returns:
        Images [N, image_size, image_size, 3] uint8, labelled; the true weights [N, 6] of the
        extreme expressions as side information.

    Raises:
        UserError: if an argument is out of range, or the set cannot be written.
    """
    check_label(label)
    if image_size < _SMALLEST_SIZE:
        raise UserError(f"data.image_size is {image_size}; set it to {_SMALLEST_SIZE} pixels or "
                        "more, e.g. 32")
    check_n_rows(n_rows, smallest=_N_KINDS)  # every character shows every expression
    if not 0.0 <= nuisance <= 10.0:  # beyond, faces leave the picture
        raise UserError(f"data.nuisance is {nuisance}; set it from 0 to 10")
    generator(seed, Stream.ROWS)  # refuses a negative seed before anything is prepared

    def make_builder() -> object:
        # Imported here, since it takes a second that other data sets need not wait for.
        from flowaa.data.sources.faces_builder import Faces, FacesConfig

        config = FacesConfig.of(image_size=image_size, n_images=n_rows, nuisance=nuisance,
                                seed=seed)
        return Faces(config=config, data_dir=dir or None, file_format="array_record")

    builder = prepared(make_builder, key="data.dir")
    labels, weights = read_columns(builder, label, "weights")
    rows = Split(read_images(builder), labels.astype(np.int32), side=weights.astype(np.float32))
    train, validation, test = complete({"train": rows}, seed=seed, test_fraction=test_fraction,
                                       validation_fraction=validation_fraction)
    spec = describe(train, n_levels=N_LEVELS, class_names=NAMES[label], side_names=EXTREMES)
    return Dataset("faces", spec, train, validation, test)
