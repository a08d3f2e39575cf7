"""XLA's persistent compilation cache, so that a second start does not compile again."""

from pathlib import Path

import jax

from flowaa.errors import warn

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
