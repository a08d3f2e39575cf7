"""One training at a time in a folder."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from flowaa.errors import UserError, warn


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which the kernel releases however the process ends.

    Its file is removed at the end; one that a killed process left behind does no harm.

    Raises:
        UserError: another process, or another call in this one, holds it.
    """
    path = folder / ".lock"
    with path.open("a+") as file:  # which keeps the holder's name until the lock is ours
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise BlockingIOError  # the last holder removed it before it was locked here
        except BlockingIOError:
            raise UserError(f"workdir: {folder} is in use by {_holder(path)}; wait for it, stop "
                            "it, or give another folder") from None
        except OSError as error:  # a file system without locks
            warn(f"{folder} cannot be locked ({error.strerror}); train in it once at a time")
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _holder(file: Path) -> str:
    try:
        holder = json.loads(file.read_text())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has the lock and has not yet written
        return "another process"
