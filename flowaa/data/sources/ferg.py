"""FERG-DB: rendered faces of six characters, which users bring, for its licence forbids us to."""

from collections.abc import Mapping

import numpy as np

from flowaa.data.dataset import Dataset, DataSpec, Split
from flowaa.data.face_labels import EXPRESSION_NAMES, NAMES, check_label
from flowaa.data.files.pictures import by_reason
from flowaa.data.files.prepared import prepared, read_columns, read_images
from flowaa.data.sources.ferg_files import N_RELEASED, Listing, list_ferg
from flowaa.data.splitting import frame_ranges, take
from flowaa.errors import UserError, warn

N_LEVELS = 256
# Published for images of 32 × 32 with values from 0 to 1; red, green and blue.
MEAN = (0.2090, 0.1497, 0.1129)
STD = (0.2601, 0.1899, 0.1538)
GAP_FRAMES = 10  # of one animation, left out between the splits


def ferg(*, dir: str, prepared_dir: str, label: str, image_size: int, seed: int,
         validation_fraction: float, test_fraction: float) -> Dataset:
    """The Facial Expression Research Group database (Aneja et al., 2016).

    The first time that a folder is asked for, its pictures are scaled down, without aliasing, and
    kept, transparent parts on white; a folder with other files is another set. Pictures are frames
    of animations: each split has a range of frames of each character and expression, and frames
    near another split's are left out. A warning counts what is left out.

    Args:
        dir: the folder `FERG_DB_256`, or the one that holds it.
        prepared_dir: where scaled pictures lie; "" for the default of TensorFlow Datasets.
        label: "character" or "expression".
        image_size: side in pixels.
        seed: governs the splits.
        validation_fraction: share of the pictures that are not for the test.
        test_fraction: share of all pictures.

    Returns:
        Images [N, image_size, image_size, 3] uint8, labelled, described by the published mean and
        standard deviation.

    Raises:
        UserError: if there is no such folder or no picture in it, an argument is out of range, or
            the set cannot be written.
    """
    check_label(label)
    if image_size < 1:
        raise UserError(f"data.image_size is {image_size}; set it to 1 pixel or more, e.g. 32")
    listing = list_ferg(dir)

    def make_builder() -> object:
        # Imported here, since it takes a second that other data sets need not wait for.
        from flowaa.data.sources.ferg_builder import Ferg, FergConfig

        config = FergConfig.of(image_size=image_size, fingerprint=listing.fingerprint)
        return Ferg(config=config, data_dir=prepared_dir or None, file_format="array_record")

    builder = prepared(make_builder, key="data.prepared_dir", manual_dir=listing.root)
    (labels,) = read_columns(builder, label)
    broken = builder.info.metadata or {}  # names and reasons
    rows = Split(read_images(builder), labels.astype(np.int32))
    pictures = [picture for picture in listing.pictures if picture.name not in broken]
    groups = np.array([picture.character * len(EXPRESSION_NAMES) + picture.expression
                       for picture in pictures])
    parts = frame_ranges(groups, np.array([picture.frame for picture in pictures]), seed=seed,
                         test_fraction=test_fraction, validation_fraction=validation_fraction,
                         gap=GAP_FRAMES)
    train, validation, test = (take(rows, part) for part in parts)
    _report(listing, broken, n_used=sum(map(len, parts)))
    spec = DataSpec((image_size, image_size, 3), n_levels=N_LEVELS, n_classes=len(NAMES[label]),
                    mean=tuple(255.0 * value for value in MEAN),
                    std=tuple(255.0 * value for value in STD), class_names=NAMES[label])
    return Dataset("ferg", spec, train, validation, test)


def _report(listing: Listing, broken: Mapping[str, str], *, n_used: int) -> None:
    """Warns of what is left out, with counts, reasons and a few names."""
    n_gap = len(listing.pictures) - len(broken) - n_used
    left_out = {**listing.unknown, **broken}
    reasons = f"; {len(left_out)} entries are left out: {by_reason(left_out)}" if left_out else ""
    warn(f"{listing.root}: {n_used} pictures of the release's {N_RELEASED} are used; {n_gap} are "
         f"left out as neighbours, within {GAP_FRAMES} frames, of other splits' frames{reasons}")
