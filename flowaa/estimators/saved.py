"""Files of fitted estimators: arrays and JSON with a digest of both, and one line on what is wrong.

Whatever is damaged is noticed when it is read: bytes by the digest, and what was changed together
with the digest by the checks of those who read it.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowaa.errors import UserError

_VERSION = 6


class _OtherVersionError(Exception):
    """The file is of another version of flowaa."""


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Makes one line about `path` of all that goes wrong while a saved `what` is read."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise UserError(f"{path}: no {what} is there ({error.filename} is "
                        f"{'a folder' if isinstance(error, IsADirectoryError) else 'missing'}); "
                        "give the path that it was saved to") from None
    except PermissionError as error:
        raise UserError(f"{path}: the {what} cannot be read ({error.strerror}); change its "
                        "permissions") from None
    except _OtherVersionError as error:
        raise UserError(f"{path}: the {what} is of version {error}, and this flowaa reads "
                        f"{_VERSION}; fit and save again") from None
    except Exception as error:
        raise UserError(f"{path}: the {what} is damaged ({_reason(error)}); fit and save again"
                        ) from None


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file beside `path`, which takes its place if all goes well and is removed if not."""
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with refused(path, "give the name of a file in a folder that exists"):
        try:
            yield part
            part.replace(path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()


@contextlib.contextmanager
def refused(path: Path, remedy: str) -> Iterator[None]:
    """Makes one line of the system's refusal to write `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): {remedy}") from None


def sealed(described: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """JSON of what is described, with the version and the digest of it and the arrays."""
    described = {"version": _VERSION, **described}
    return json.dumps({**described, "sha256": _digest(described, arrays)}, indent=1)


def unsealed(text: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What `sealed` described.

    Raises:
        ValueError: the digest is not that of the text and the arrays.
    """
    described = json.loads(text)
    version = described.pop("version", described.get("format", "?"))
    if version != _VERSION:
        raise _OtherVersionError(version)
    if described.pop("sha256") != _digest({"version": version, **described}, arrays):
        raise ValueError("its SHA-256 digest is not that of its content")
    return described


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; Python objects are never loaded."""
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it is no .npz archive")
        with loaded:
            return dict(loaded)


def check_array(array: np.ndarray, name: str, dims: str, sizes: dict[str, int]) -> None:
    """Refuses an array whose shape is not that of its dimensions, or that is not finite.

    Args:
        array: numbers.
        name: for the message.
        dims: a letter a dimension.
        sizes: of the letters; those that are not known yet are entered.
    """
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"{name} holds what is no finite number")
    if array.ndim != len(dims) or any(
            sizes.setdefault(dim, size) != size
            for dim, size in zip(dims, array.shape, strict=True)):
        raise ValueError(f"{name} has the shape {array.shape}")


def _digest(described: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    content = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        content.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}".encode())
        content.update(array.tobytes())
    return content.hexdigest()


def _reason(error: Exception) -> str:
    """The first line of an error; NumPy's advice to load Python objects is left out."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return "it holds what is no array" if "pickle" in line else line[:160]
