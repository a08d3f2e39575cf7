"""A folder a step, by orbax, with a manifest: written whole or not at all, read where whole.

A step is written under another name and renamed when its manifest is there.
"""

import contextlib
import re
import shutil
import time
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from flowaa.training.files.manifest import damage, has_manifest, write_manifest
from flowaa.training.files.quiet_orbax import quiet_orbax

_PARTIAL = ".partial"  # ends the name of a step that is being written
_REPLACED = f".replaced{_PARTIAL}"  # of one that another is about to replace


class Damaged(Exception):
    """An item of a step cannot be read; the message is the reason, in a few words."""


class Unwritable(Exception):
    """The operating system's reason for refusing to write."""


class StepFolders:
    """The folders of a run's steps."""

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        """Makes the folder, unless it is read only, and removes what killed processes left."""
        self.folder = folder.resolve()
        if not read_only:
            self.folder.mkdir(parents=True, exist_ok=True)
            for replaced in self.folder.glob(f"*{_REPLACED}"):
                if not (final := self.folder / replaced.name.removesuffix(_REPLACED)).exists():
                    replaced.rename(final)  # killed before what replaces it had its name
            for partial in self.folder.glob(f"*{_PARTIAL}*"):
                shutil.rmtree(partial)
        host = jax.process_index()  # reads and writes alone: others are not waited for
        alone = ocp.options.MultiprocessingOptions(primary_host=host, active_processes={host})
        with quiet_orbax():
            self._orbax = ocp.Checkpointer(
                ocp.CompositeCheckpointHandler(
                    composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
                    params=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
                    state=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
                    run=ocp.JsonCheckpointHandler(multiprocessing_options=alone)),
                multiprocessing_options=alone)

    def steps(self) -> list[int]:
        """Steps there are, oldest first."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(int(path.name) for path in self.folder.iterdir()
                          if path.name.isascii() and path.name.isdecimal())
        return []

    def write(self, step: int, items: ocp.args.Composite) -> None:
        """Writes a step, in the place of one that is there.

        Raises:
            Unwritable: the disk is full or cannot be written; a step that was there still is.
        """
        partial, final = self.folder / f"{step}{_PARTIAL}", self.folder / f"{step}"
        try:
            with quiet_orbax():
                self._orbax.save(partial, args=items, force=True)
            write_manifest(partial)
            replaced = self.folder / f"{step}{_REPLACED}"
            if final.exists():
                final.rename(replaced)
            partial.rename(final)
            if replaced.exists():
                shutil.rmtree(replaced)
        except (OSError, ValueError) as error:
            reason = _refusal(error)
            if reason is None:
                raise
            raise Unwritable(reason) from error

    def read(self, step: int, item: str, args: ocp.args.CheckpointArgs) -> Any:
        """An item of a step.

        Raises:
            Damaged: it is not as it was written.
        """
        if reason := self.damage(step, item):
            raise Damaged(reason)
        try:
            return self.read_unchecked(step, item, args)
        except Exception:  # orbax and tensorstore have no common kind for what they cannot read
            # Without orbax's reason: it names one of many reads, each time another.
            raise Damaged(f"{item} cannot be read") from None

    def read_unchecked(self, step: int, item: str, args: ocp.args.CheckpointArgs) -> Any:
        """An item of a step, with or without a manifest; raises whatever orbax raises."""
        with quiet_orbax():
            return self._orbax.restore(
                self.folder / f"{step}", args=ocp.args.Composite(**{item: args}))[item]

    def damage(self, step: int, *items: str) -> str | None:
        """What is wrong with the first of the items that is damaged, or None."""
        reasons = (damage(self.folder / f"{step}", item) for item in items)
        return next(filter(None, reasons), None)

    def has_manifest(self, step: int) -> bool:
        """Whether the files of a step are listed."""
        return has_manifest(self.folder / f"{step}")

    def delete(self, step: int) -> None:
        """Removes a step."""
        shutil.rmtree(self.folder / f"{step}")

    def put_aside(self, step: int) -> Path:
        """Moves a step to the folder `damaged/` beside this one, and returns where it is."""
        aside = self.folder.with_name("damaged")
        aside.mkdir(exist_ok=True)
        aside /= f"{step}" if not (aside / f"{step}").exists() else f"{step}.{time.time_ns()}"
        return (self.folder / f"{step}").rename(aside)

    def close(self) -> None:
        """Ends orbax's threads."""
        with quiet_orbax():
            self._orbax.close()


def _refusal(error: Exception) -> str | None:
    """The operating system's reason for refusing to write, or None for another error."""
    if isinstance(error, OSError):
        return error.strerror
    # Tensorstore puts the reason at the end of a long message.
    refused = re.search(r": ([^:]*) \[os_error_code", str(error))
    return None if refused is None else refused[1]
