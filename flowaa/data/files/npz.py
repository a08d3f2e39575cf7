"""NumPy's `.npy` and `.npz` files: read or memory-mapped, never unpickled."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from flowaa.arguments import check_memory
from flowaa.errors import UserError

_MAPPED_BYTES = 256 * 2**20  # larger arrays are memory-mapped where they are stored uncompressed
_LARGEST_RATIO = 200  # of a compressed array above that size; deflate reaches 1032
# What NumPy and zipfile raise on a file that is damaged or not what its name says.
DAMAGE = (ValueError, EOFError, OSError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile,
           zlib.error)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file; that of an `.npy` file is called `x`.

    Raises:
        UserError: if the file is missing, empty, damaged, no NumPy file, or holds Python objects.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file; set config.data.path to an .npz or .npy")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name an .npz or .npy file in it (for a folder of "
                        "images use configs/image_folder.py)")
    if not path.stat().st_size:
        raise UserError(f"{path} is empty; write it again with numpy.savez")
    where, arrays = f"{path}", {}
    try:
        mapped = path.stat().st_size > _MAPPED_BYTES
        found = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"x": found}
        with found:
            for member in found.zip.infolist():
                key = member.filename.removesuffix(".npy")
                where = f"{path}: {key}"
                _check_size(member, where)
                mapped = (member.compress_type == zipfile.ZIP_STORED
                          and member.file_size > _MAPPED_BYTES)
                arrays[key] = _map_member(path, member) if mapped else found[key]
    except UserError:
        raise
    except DAMAGE as error:
        raise _unreadable(where, error) from error
    return arrays


def _check_size(member: zipfile.ZipInfo, where: str) -> None:
    """Refuses a member that unpacks into far more than a file of data does."""
    if (member.file_size > _MAPPED_BYTES
            and member.file_size > _LARGEST_RATIO * max(member.compress_size, 1)):
        raise UserError(
            f"{where} would unpack {member.compress_size / 2**20:.1f} MiB into "
            f"{member.file_size / 2**30:.1f} GiB, as a decompression bomb does; if it is data, "
            "write it with numpy.savez instead of numpy.savez_compressed")
    if member.compress_type != zipfile.ZIP_STORED:
        check_memory(member.file_size, f"{where} is compressed and needs",
                     "write it with numpy.savez, which is read piece by piece")


def _map_member(path: Path, member: zipfile.ZipInfo) -> np.ndarray:
    """Maps an uncompressed member, whose bytes stand in the archive as in an `.npy` file."""
    with path.open("rb") as file:
        # The local header: 26 bytes, the lengths of name and extra field, and these two
        # (APPNOTE.TXT 4.3.7); the central directory's extra field can have another length.
        file.seek(member.header_offset + 26)
        lengths = file.read(4)
        file.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0,
                       (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran_order, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded")
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran_order else "C")


def _unreadable(where: str, error: Exception) -> UserError:
    """The user's error behind what NumPy or zipfile raised."""
    if isinstance(error, PermissionError):
        return UserError(f"{where}: not readable; change its permissions")
    reason = " ".join(str(error).split()) or type(error).__name__
    if "Object arrays" in reason or "Python objects" in reason:  # NumPy's words
        return UserError(f"{where} holds pickled Python objects, which are never loaded: they "
                         "could run any code; write plain arrays, e.g. "
                         "numpy.asarray(x, numpy.float32)")
    if "pickle" in reason:  # NumPy takes all that has no magic bytes of its own for a pickle
        return UserError(f"{where} is no NumPy file, or a Python pickle, which is never loaded: it "
                         "could run any code; write plain arrays with numpy.savez")
    return UserError(f"{where} cannot be read, it is truncated or damaged ({reason}); "
                     "write it again with numpy.savez")
