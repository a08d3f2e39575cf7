"""A folder of images, a class a folder, resized to 32x32: the thesis's network.

python -m experiments.train --config=configs/image_folder.py --config.data.dir=FOLDER \
    --workdir=runs/mine

Transparent parts become white, 16-bit grey 8-bit, EXIF turns are applied, an animation gives its
first frame. Files that cannot be used are counted, with reasons and names, in a warning.
"""

from ml_collections import ConfigDict

from flowaa.configs import thesis
from flowaa.configs.default import finish


def get_config(variant: str = "") -> ConfigDict:
    """The thesis's network; for other sizes, all image stages must halve data.image_size."""
    config = thesis.get_config()
    config.data.name = "image_folder"
    return finish(config, variant)
