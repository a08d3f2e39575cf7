"""One breakage: a text of a source file, what it is replaced by, and the tests that must fail."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A wrong change of one file, applied alone."""

    name: str  # what is broken, in a few words
    file: str  # relative to the repository
    old: str  # occurs in the file exactly once
    new: str
    tests: tuple[str, ...]  # arguments of pytest: the files or tests meant to notice
    survives: str = ""  # why no fast test can notice, if none can; it counts as a survivor
