"""XLA's persistent compilation cache, so that a second start does not compile again."""

from pathlib import Path

import jax

from flowaa.errors import warn

DEFAULT_FOLDER = "~/.cache/flowaa"

_MINIMUM_COMPILE_TIME_S = 0.1  # programs that compile faster are not worth a file


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


def enable_default_cache() -> None:
    """Keeps programs in the default folder, as runs do, unless the user has chosen a folder.

    JAX's own setting stands: `JAX_COMPILATION_CACHE_DIR`, or `JAX_ENABLE_COMPILATION_CACHE=0`.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        enable_cache(DEFAULT_FOLDER)
