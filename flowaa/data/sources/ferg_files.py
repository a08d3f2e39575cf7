"""The files of FERG-DB on the user's disk: those that belong to it, and those that do not."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from flowaa.data.face_labels import CHARACTER_NAMES, EXPRESSION_NAMES
from flowaa.errors import UserError

FOLDER = "FERG_DB_256"
N_RELEASED = 55_767
HOW_TO_GET = ("ask for FERG-DB with the licence form of its project page, of the GRAIL lab of the "
              "University of Washington, grail.cs.washington.edu/projects/deepexpr/"
              "ferg-2d-db.html, and set --config.data.dir to its folder; configs/faces.py runs "
              "without it")


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

    Only these places are looked into, so that links in a circle end nowhere.

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
    characters = _folders(root, root, CHARACTER_NAMES, "character", unknown)
    for character, path in characters.items():
        names = [f"{CHARACTER_NAMES[character]}_{name}" for name in EXPRESSION_NAMES]
        expressions = _folders(path, root, names, "expression", unknown)
        for expression, leaf in expressions.items():
            pictures += _pictures(leaf, root, character, expression, unknown)
    if not pictures:
        raise UserError(f"{root} holds no picture where FERG-DB has them, e.g. "
                        f"{FOLDER}/aia/aia_joy/aia_joy_1.png; {HOW_TO_GET}")
    return Listing(root, tuple(pictures), unknown)


def _folders(folder: Path, root: Path, names: Sequence[str], kind: str,
             unknown: dict[str, str]) -> dict[int, Path]:
    """The folders of `names`, by index; all else there is goes to `unknown`."""
    found = {}
    for path in _entries(folder, root, unknown):
        if path.name in names and path.is_dir():
            found[names.index(path.name)] = path
        elif path.is_symlink():
            unknown[_name(path, root)] = f"a link to no folder of a known {kind}"
        elif path.is_dir():
            n_files = sum(len(files) for _, _, files in os.walk(path))
            unknown[_name(path, root)] = f"no known {kind}; {n_files} files in it"
        else:
            unknown[_name(path, root)] = f"no folder of a {kind}"
    return dict(sorted(found.items()))


def _pictures(folder: Path, root: Path, character: int, expression: int,
              unknown: dict[str, str]) -> list[Picture]:
    """The pictures of one character's expression, in the order of their numbers."""
    pattern = re.compile(rf"{re.escape(folder.name)}_(\d+)\.png", re.IGNORECASE)
    found: list[Picture] = []
    for path in _entries(folder, root, unknown):
        match = pattern.fullmatch(path.name)
        if match is None:
            unknown[_name(path, root)] = f"not named like {folder.name}_1.png"
        elif not path.is_file():
            unknown[_name(path, root)] = "no file"
        else:
            found.append(Picture(path, _name(path, root), character, expression, int(match[1]),
                                 path.stat().st_size))
    return sorted(found, key=lambda picture: (picture.frame, picture.name))


def _entries(folder: Path, root: Path, unknown: dict[str, str]) -> list[Path]:
    """What lies in a folder, which is named in `unknown` if that is nothing."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        unknown[_name(folder, root)] = f"cannot be listed ({error.strerror})"
        return []
    if not entries:
        unknown[_name(folder, root)] = "an empty folder"
    return entries


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
