"""The six characters and the features in which they differ."""

import dataclasses
from typing import Literal

_Colour = tuple[float, float, float]  # red, green and blue, 0 … 255


@dataclasses.dataclass(frozen=True)
class Character:
    """A drawn person; lengths are of a picture from −1 to 1."""

    name: str
    ground: _Colour
    shirt: _Colour
    skin: _Colour
    hair: _Colour
    iris: _Colour
    lips: _Colour
    style: Literal["bob", "buns", "quiff", "afro", "long", "bald"]
    head_width: float  # half of it
    head_height: float  # half of it
    eye_distance: float  # from the middle
    eye_size: float  # half its width
    brow_thickness: float  # half of it
    has_glasses: bool = False


CHARACTERS = (  # in the order of their labels
    Character(
        "aia", ground=(205, 230, 224), shirt=(225, 92, 84), skin=(241, 196, 158),
        hair=(44, 38, 52), iris=(92, 58, 38), lips=(190, 78, 84), style="bob", head_width=0.60,
        head_height=0.66, eye_distance=0.27, eye_size=0.20, brow_thickness=0.042,
    ),
    Character(
        "bonnie", ground=(250, 225, 190), shirt=(88, 150, 120), skin=(252, 218, 196),
        hair=(214, 96, 44), iris=(64, 128, 92), lips=(206, 92, 96), style="buns", head_width=0.62,
        head_height=0.62, eye_distance=0.28, eye_size=0.21, brow_thickness=0.040,
    ),
    Character(
        "jules", ground=(192, 216, 242), shirt=(62, 84, 148), skin=(234, 186, 146),
        hair=(232, 188, 92), iris=(58, 110, 170), lips=(176, 88, 78), style="quiff",
        head_width=0.56, head_height=0.68, eye_distance=0.26, eye_size=0.185,
        brow_thickness=0.048,
    ),
    Character(
        "malcolm", ground=(244, 214, 150), shirt=(108, 66, 138), skin=(142, 92, 66),
        hair=(36, 28, 28), iris=(58, 34, 22), lips=(158, 74, 72), style="afro", head_width=0.58,
        head_height=0.68, eye_distance=0.26, eye_size=0.19, brow_thickness=0.045,
    ),
    Character(
        "mery", ground=(226, 212, 242), shirt=(240, 168, 60), skin=(198, 142, 106),
        hair=(112, 60, 116), iris=(112, 74, 36), lips=(172, 60, 92), style="long",
        head_width=0.58, head_height=0.66, eye_distance=0.27, eye_size=0.205,
        brow_thickness=0.042,
    ),
    Character(
        "ray", ground=(206, 222, 196), shirt=(120, 104, 92), skin=(246, 208, 184),
        hair=(170, 170, 176), iris=(80, 108, 130), lips=(186, 96, 92), style="bald",
        head_width=0.60, head_height=0.68, eye_distance=0.27, eye_size=0.175,
        brow_thickness=0.052, has_glasses=True,
    ),
)
