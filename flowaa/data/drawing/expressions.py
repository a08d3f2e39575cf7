"""Maps weights of extreme expressions to movements of the parts of a face."""

import dataclasses

import numpy as np

from flowaa.data.face_labels import EXPRESSION_NAMES

# All faces are mixtures of these. The neutral face is not: it is the even mixture of them all, the
# one place that is equally far from every extreme.
EXTREMES = tuple(name for name in EXPRESSION_NAMES if name != "neutral")

_ACTIONS: dict[str, tuple[float, ...]] = {
    # anger, disgust, fear, joy, sadness, surprise; a row sums to zero, as neutral is their mean
    "smile": (-0.55, -0.40, -0.30, 1.85, -0.65, 0.05),
    "open": (-0.65, -0.70, 0.45, 0.80, -1.00, 1.10),
    "stretch": (0.10, -0.05, 0.55, 0.60, -0.35, -0.85),
    "skew": (-0.20, 1.00, -0.20, -0.20, -0.20, -0.20),
    "brow_height": (-1.05, -0.85, 0.50, 0.45, -0.05, 1.00),
    "brow_tilt": (-1.25, -0.55, 0.75, 0.00, 1.05, 0.00),
    "eye_open": (-0.25, -0.85, 0.90, 0.30, -1.05, 0.95),
    "squint": (0.35, 0.50, -0.60, 0.95, -0.50, -0.70),
    "pupil": (-0.35, 0.20, -1.00, 0.65, 0.85, -0.35),
    "gaze": (0.10, 0.20, -0.30, -0.35, 0.75, -0.40),
    "blush": (0.50, -0.60, -0.60, 1.00, -0.20, -0.10),
    "red": (0.80, -0.60, -0.30, 0.30, -0.30, 0.10),
    "green": (-0.60, 0.50, 0.10, 0.10, -0.10, 0.00),
    "blue": (-0.60, -0.60, 0.70, -0.20, 0.70, 0.00),
}


@dataclasses.dataclass(frozen=True)
class Action:
    """Movements of the parts of N faces; each [N, 1, 1] float32, 0 in a neutral face."""

    smile: np.ndarray  # corners of the mouth up
    open: np.ndarray  # the mouth; negative presses the lips together
    stretch: np.ndarray  # the mouth, sideways
    skew: np.ndarray  # one side of the mouth up
    brow_height: np.ndarray
    brow_tilt: np.ndarray  # inner ends up
    eye_open: np.ndarray  # upper lids
    squint: np.ndarray  # lower lids
    pupil: np.ndarray  # its size
    gaze: np.ndarray  # downwards
    blush: np.ndarray
    red: np.ndarray  # tint of the skin
    green: np.ndarray
    blue: np.ndarray


def act(weights: np.ndarray) -> Action:
    """The faces of mixtures of the extreme expressions.

    Linear in the weights; what is drawn of it is not, for parts move, open and cover one another.

    Args:
        weights: [N, 6], of `EXTREMES`, rows that sum to one. Weights beyond 0 … 1 exaggerate.
    """
    mixed = {name: (weights @ np.array(row)).astype(np.float32)[:, None, None]
             for name, row in _ACTIONS.items()}
    return Action(**mixed)
