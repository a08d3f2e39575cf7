"""A folder of images, a class a folder, resized to 32x32: a convolutional flow of their size.

python -m experiments.train --config=configs/image_folder.py --config.data.dir=FOLDER \
    --workdir=runs/mine

Transparent parts become white, 16-bit grey 8-bit, EXIF turns are applied, an animation gives its
first frame. Files that cannot be used are counted, with reasons and names, in a warning. The flow
is chosen by size and number of the images, and training ends when validation does, as in arrays.py;
for the thesis's network take --config=configs/thesis.py --config.data.name=image_folder.
"""

from ml_collections import ConfigDict

from flowaa.configs import arrays
from flowaa.configs.default import finish


def get_config(variant: str = "") -> ConfigDict:
    """A flow chosen by the data, trained until validation ends it, however long that takes."""
    config = arrays.get_config()
    config.data.name = "image_folder"
    config.training.max_minutes = 0.0
    return finish(config, variant)
