"""Requests that the machine cannot hold are refused: XLA would abort the whole process."""

import os

from flowaa.errors import UserError


def check_memory(n_bytes: int, what: str, remedy: str) -> None:
    """Raises a `UserError` where the machine has less memory than `n_bytes`.

    Args:
        n_bytes: what is needed.
        what: begins the message, up to "need" or "needs".
        remedy: ends it.
    """
    there_is = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > there_is:
        raise UserError(f"{what} {n_bytes / 2**30:,.0f} GiB, and this machine has "
                        f"{there_is / 2**30:.0f}; {remedy}")
