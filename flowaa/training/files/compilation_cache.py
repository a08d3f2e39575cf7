"""XLA's persistent compilation cache, so that a second start does not compile again."""

from pathlib import Path

import jax

from flowaa.errors import warn

DEFAULT_FOLDER = "~/.cache/flowaa"

_MINIMUM_COMPILE_TIME_S = 0.1  # programs that compile faster are not worth a file
_MOST_BYTES = 2 * 2**30  # of the default folder


def enable_cache(folder: str) -> None:
    """Keeps compiled programs in `folder` from now on; "" leaves the cache as it is.

    A folder that cannot be written costs time, not the run: it is warned of.
    """
    if not folder:
        return
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warn(f"no compilation cache in {path}: {error.strerror}")
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MINIMUM_COMPILE_TIME_S)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if path == Path(DEFAULT_FOLDER).expanduser():
        remove_oldest(path, _MOST_BYTES)


def remove_oldest(path: Path, most_bytes: int) -> None:
    """Removes programs until half of the bytes are left, where there are more: the oldest first.

    JAX's own bound (`jax_compilation_cache_max_size`) takes a lock at every program and fails in a
    folder that was filled without it.
    """
    try:
        files = [(file, file.stat()) for file in path.glob("*-cache")]
        total = sum(stat.st_size for _, stat in files)
        if total <= most_bytes:
            return
        for file, stat in sorted(files, key=lambda pair: pair[1].st_mtime):
            file.unlink(missing_ok=True)
            total -= stat.st_size
            if total <= most_bytes // 2:
                return
    except FileNotFoundError:  # another process tidies
        return
    except OSError as error:
        warn(f"the compilation cache in {path} could not be tidied: {error.strerror}")


def enable_default_cache() -> None:
    """Keeps programs in the default folder, as runs do, unless the user has chosen a folder.

    JAX's own setting stands: `JAX_COMPILATION_CACHE_DIR`, or `JAX_ENABLE_COMPILATION_CACHE=0`.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        enable_cache(DEFAULT_FOLDER)
