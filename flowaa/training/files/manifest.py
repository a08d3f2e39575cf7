"""A list of the files of a checkpoint with their SHA-256 digests: what says that it is whole."""

import hashlib
import json
from pathlib import Path

_NAME = "manifest.json"


def write_manifest(folder: Path) -> None:
    """Lists all files below `folder`; to be written after them."""
    digests = {file.relative_to(folder).as_posix(): _digest(file)
               for file in sorted(folder.rglob("*")) if file.is_file() and file.name != _NAME}
    (folder / _NAME).write_text(json.dumps(digests, indent=1) + "\n")


def has_manifest(folder: Path) -> bool:
    """Whether the files of `folder` were listed."""
    return (folder / _NAME).is_file()


def damage(folder: Path, item: str) -> str | None:
    """What is wrong with the files of `folder/item`, in a few words; None where they are whole.

    Files that are not listed are not looked at.
    """
    try:
        digests = json.loads((folder / _NAME).read_bytes())
        files = [name for name in digests if name.startswith(f"{item}/")]
        listed = {name: digests[name] for name in files}
    except FileNotFoundError:
        return f"{_NAME} is missing"
    except (OSError, ValueError, TypeError, RecursionError):  # no JSON, no UTF-8, no mapping
        return f"{_NAME} cannot be read"
    if not listed:
        return f"{_NAME} lists no file of {item}"
    for name, digest in listed.items():
        try:
            if _digest(folder / name) != digest:
                return f"{name} differs from its digest"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
