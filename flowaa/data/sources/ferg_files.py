"""The files of FERG-DB on the user's disk: those that belong to it, and those that do not."""

import dataclasses
import hashlib
import re
from pathlib import Path

from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.errors import UserError

FOLDER = "FERG_DB_256"
N_RELEASED = 55_767
HOW_TO_GET = ("ask for FERG-DB with the licence form of its project page, of the GRAIL lab of the "
              "University of Washington, grail.cs.washington.edu/projects/deepexpr/"
              "ferg-2d-db.html, and set config.data.dir to its folder; configs/faces.py runs "
              "without it")


_CHARACTER = f"({'|'.join(CHARACTER_NAMES)})"
_EXPRESSION = rf"{_CHARACTER}/\1_({'|'.join(EXPRESSION_NAMES)})"
# Names at depths 1, 2 and 3: character, character_expression, and pictures by their frame.
_PLACES = tuple(map(re.compile, (
    _CHARACTER, _EXPRESSION, rf"{_EXPRESSION}/\1_\2_(\d+)\.(?i:png)")))
_UNKNOWN = ("no folder of a character", "no folder of an expression",
            "no picture named like aia_joy_1.png")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A file that belongs to FERG by its name and place."""

    path: Path
    name: str  # relative to `FERG_DB_256`
    character: int  # of `CHARACTER_NAMES`
    expression: int  # of `EXPRESSION_NAMES`
    frame: int  # number of the file within its character's expression
    n_bytes: int


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder holds."""

    root: Path  # `FERG_DB_256` itself
    pictures: tuple[Picture, ...]  # in sorted order, a number's digits as a number
    unknown: dict[str, str]  # what is left out: names relative to the root, and why

    @property
    def fingerprint(self) -> str:
        """Tells this set of files from others, by their names and sizes."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(f"{picture.name} {picture.n_bytes}\n".encode())
        return digest.hexdigest()[:12]


def list_ferg(dir: Path | str) -> Listing:
    """Finds FERG's pictures, `FERG_DB_256/<character>/<character>_<expression>/<…>_<n>.png`.

    Nothing deeper is looked into, so that links in a circle end nowhere.

    Args:
        dir: the folder `FERG_DB_256` or the one that holds it.

    Raises:
        UserError: if there is no such folder, or no picture in it.
    """
    folder = Path(dir).expanduser()
    if not str(dir) or not folder.is_dir():
        raise UserError(f"{str(dir) or 'no folder named'}: there is no such folder; {HOW_TO_GET}")
    has_characters = any((folder / name).is_dir() for name in CHARACTER_NAMES)
    root = folder if has_characters or not (folder / FOLDER).is_dir() else folder / FOLDER
    pictures: list[Picture] = []
    unknown: dict[str, str] = {}

    def walk(folder: Path, depth: int) -> None:
        entries = sorted(folder.iterdir())
        if not entries:
            unknown[folder.relative_to(root).as_posix()] = "an empty folder"
        for path in entries:
            name = path.relative_to(root).as_posix()
            place = _PLACES[depth].fullmatch(name)
            try:
                if place is None or not (path.is_file() if depth == 2 else path.is_dir()):
                    unknown[name] = _UNKNOWN[depth] if path.exists() else "a link to nothing"
                elif depth < 2:
                    walk(path, depth + 1)
                else:
                    pictures.append(Picture(
                        path, name, CHARACTER_NAMES.index(place[1]),
                        EXPRESSION_NAMES.index(place[2]), int(place[3]), path.stat().st_size))
            except OSError as error:
                unknown[name] = f"cannot be read: {error.strerror}"

    walk(root, 0)
    pictures.sort(key=lambda picture: (picture.character, picture.expression, picture.frame,
                                       picture.name))
    if not pictures:
        raise UserError(f"{root} holds no picture where FERG-DB has them, e.g. "
                        f"{FOLDER}/aia/aia_joy/aia_joy_1.png; {HOW_TO_GET}")
    return Listing(root, tuple(pictures), unknown)
