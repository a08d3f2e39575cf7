"""The thesis's experiment: archetypes of the faces of FERG-DB, which its users bring (4.2).

python -m experiments.train --config=configs/ferg.py --workdir=runs/ferg --config.data.dir=FOLDER

FOLDER is FERG_DB_256 or the folder that holds it; ask for the data at
http://grail.cs.washington.edu/projects/deepexpr/ferg-2d-db.html. Without it, configs/faces.py runs
on drawn faces. Transparent parts become white. Pictures are frames of animations, so that each
split holds ranges of frames, and frames near another split's are left out. The network has 8.03 M
parameters: hours on a GPU or TPU, days on a CPU.
"""

from ml_collections import ConfigDict

from flowaa.configs import default, thesis


def get_config(variant: str = "") -> ConfigDict:
    """The thesis's network, conditional on the expression, and its weights of the losses."""
    config = thesis.get_config()
    config.data.name = "ferg"
    config.data.label = "expression"

    config.flow.two_sided = True
    config.flow.clamp = 1.5
    config.flow.conditional = True

    config.archetypes.n_archetypes = 3
    config.archetypes.prototype = True
    config.archetypes.side = "label"
    config.archetypes.nll_weight = 0.1
    config.archetypes.archetype_weight = 10.0
    config.archetypes.reconstruction_weight = 80.0
    config.archetypes.side_weight = 1.0
    config.archetypes.prototype_weight = 100.0

    config.optimizer.clip_norm = 20.0
    return default.finish(config, variant)
