"""Random characters, expressions, weights and poses of a set of faces."""

import dataclasses

import numpy as np

from flowaa.data.drawing.expressions import EXTREMES
from flowaa.data.drawing.face import Pose
from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.data.seeding import Stream, generator

# Of the Dirichlet law of the weights. This far below one, most faces are near an edge of the
# simplex and some near every corner (of 20 000, about 70 within 0.02): without those, no method
# could know where the corners are.
CONCENTRATION = 0.2
_NEUTRAL_CONCENTRATION = 30.0  # weights differ from an even mixture by about 0.03

# The furthest a pose goes at nuisance 1, both ways, uniformly.
_TILT_RADIANS = np.deg2rad(4.0)
_SHIFT = 0.03  # of a picture from −1 to 1: half a pixel of 32
_SCALE = 0.03
_BRIGHTNESS = 0.04


@dataclasses.dataclass(frozen=True)
class Population:
    """Faces that are yet to be drawn."""

    characters: np.ndarray  # [N] int, of `CHARACTER_NAMES`
    expressions: np.ndarray  # [N] int, of `EXPRESSION_NAMES`
    weights: np.ndarray  # [N, 6] float32, of `EXTREMES`; rows sum to one
    pose: Pose


def draw_population(n_faces: int, *, seed: int, nuisance: float) -> Population:
    """Draws the labels, weights and poses of faces.

    Every character shows every expression equally often. An emotion's weights follow a symmetric
    Dirichlet law and the emotion is the largest weight; a neutral face's weights are nearly even.

    Args:
        n_faces: how many.
        seed: the experiment's seed.
        nuisance: scales tilt, shift, size and brightness; 0 is none.

    Raises:
        UserError: if the seed is negative.
    """
    random = generator(seed, Stream.ROWS)
    kinds = random.permutation(n_faces) % (len(CHARACTER_NAMES) * len(EXPRESSION_NAMES))
    characters, expressions = np.divmod(kinds, len(EXPRESSION_NAMES))
    weights = random.dirichlet(np.full(len(EXTREMES), CONCENTRATION), n_faces)
    for index, name in enumerate(EXPRESSION_NAMES):
        rows = np.flatnonzero(expressions == index)
        if name == "neutral":
            even = np.full(len(EXTREMES), _NEUTRAL_CONCENTRATION)
            weights[rows] = random.dirichlet(even, len(rows))
        else:
            _put_largest(weights, rows, EXTREMES.index(name))
    return Population(characters, expressions, weights.astype(np.float32),
                      _draw_pose(n_faces, nuisance, random))


def _put_largest(weights: np.ndarray, rows: np.ndarray, column: int) -> None:
    """Swaps the largest weight of each row into a column, which leaves a symmetric law as it is."""
    largest = weights[rows].argmax(1)
    weights[rows, column], weights[rows, largest] = weights[rows, largest], weights[rows, column]


def _draw_pose(n_faces: int, nuisance: float, random: np.random.Generator) -> Pose:
    tilt, shift_x, shift_y, scale, brightness = (
        nuisance * random.uniform(-1.0, 1.0, (5, n_faces))).astype(np.float32)
    return Pose(tilt=tilt * _TILT_RADIANS, shift_x=shift_x * _SHIFT, shift_y=shift_y * _SHIFT,
                scale=1.0 + scale * _SCALE, brightness=1.0 + brightness * _BRIGHTNESS)
