"""The drawn faces' expressions found without their scores: only the character is known.

python -m experiments.train --config=configs/faces_unsupervised.py --workdir=runs/faces_unsupervised

About five minutes on two cores. Measured, seed 0, on the test set: mean absolute weight error 0.083
(classical analysis of the pixels 0.264; of the pixels as they are looked at here, 0.077) and
2.65 bits/dim. What does not count is left free: decoded faces are darker than they should be, and
their mean square error, 0.010, is above that of five principal components, 0.0055.
"""

from ml_collections import ConfigDict

from flowaa.configs import default, faces


def get_config(variant: str = "") -> ConfigDict:
    """The network of configs/faces.py; small moves and changes of light do not count."""
    config = faces.get_config()
    config.archetypes.side = "none"
    config.archetypes.start = "linear"
    # Archetypes of raw pixels are poses, and parts that move further than a pixel bend mixtures.
    config.archetypes.blur_px = 1.0
    config.archetypes.invariant_to = ("shift", "rotation", "scale", "brightness")
    config.archetypes.reconstruction_weight = 100.0
    return default.finish(config, variant)
