"""Writing an .npz whose arrays come row by row and need not fit in memory."""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np


def write_npz(
    path: Path, batches: Iterable[Mapping[str, np.ndarray]], *, n_rows: int, large: str
) -> None:
    """Writes batches of rows under one name a column, readable with `np.load`.

    One column, the large one, goes to the disk batch by batch; the others are kept until the end.
    The file appears when it is whole.

    Args:
        path: the file to write.
        batches: columns by name, [b, ...], of the same names, types and shapes of rows in each.
        n_rows: rows altogether; it stands in the file before the rows do.
        large: the name of the large column.

    Raises:
        ValueError: there are not `n_rows` rows.
        OSError: the disk is full or cannot be written; no file is left.
    """
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, list[np.ndarray]] = {}
    n_written = 0
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            with archive.open(f"{large}.npy", "w", force_zip64=True) as member:
                for batch in batches:
                    rows = np.ascontiguousarray(batch[large])
                    if not n_written:
                        np.lib.format.write_array_header_1_0(member, {
                            "descr": np.lib.format.dtype_to_descr(rows.dtype),
                            "fortran_order": False, "shape": (n_rows, *rows.shape[1:])})
                    member.write(rows.tobytes())
                    n_written += len(rows)
                    for name, values in batch.items():
                        if name != large:
                            kept.setdefault(name, []).append(values)
            if n_written != n_rows:
                raise ValueError(f"{n_written} rows came, not {n_rows}")
            for name, parts in kept.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.concatenate(parts))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
