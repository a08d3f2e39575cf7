"""What all hosts know alike, because the main host told them or because it was compared.

Each function here is called by all hosts, in the same order: it waits for the others.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from flowaa.errors import UserError

_T = TypeVar("_T")
_LEAST_BYTES = 512  # of a message: programs are compiled for each length


def n_hosts() -> int:
    """How many there are."""
    return jax.process_count()


def is_main() -> bool:
    """Whether this host reads and writes the run's folder."""
    return jax.process_index() == 0


def on_main(function: Callable[[], _T]) -> _T | None:
    """Calls a function on the main host, while the others wait.

    Returns:
        What it returned, on the main host; None on the others.

    Raises:
        UserError: the function raised one, or its disk failed; on all hosts.
    """
    if n_hosts() == 1:
        return function()
    result, problem = None, ""
    if is_main():
        try:
            result = function()
        except (UserError, OSError) as error:  # a disk's is theirs too: they cannot go on
            problem = str(error)
    if problem := tell(problem):
        raise UserError(problem)
    return result


def told_by_main(function: Callable[[], _T]) -> _T:
    """As `on_main`, but what the function returned, which is JSON, is returned on all hosts."""
    return tell(on_main(function))


def main_first(function: Callable[[], _T]) -> _T:
    """Calls a function on all hosts, on the main one first: what it downloads or prepares is there.

    Raises:
        UserError: the function raised one; on all hosts if it was the main one's.
    """
    result = on_main(function)
    return function() if result is None else result


def tell(value: Any) -> Any:
    """The main host's value, which is JSON; those of the others do not matter."""
    if n_hosts() == 1:
        return value
    text = json.dumps(value).encode() if is_main() else b""
    n_bytes = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    length = max(_LEAST_BYTES, 1 << (n_bytes - 1).bit_length())
    message = np.frombuffer(text.ljust(length, b"\0"), np.uint8)
    return json.loads(bytes(multihost_utils.broadcast_one_to_all(message))[:n_bytes])


def share(tree: Any, like: Any) -> Any:
    """The main host's arrays, which on the others need not be there.

    Args:
        tree: on the main host, of arrays.
        like: arrays or shapes, on all hosts.
    """
    if n_hosts() == 1:
        return tree
    if not is_main():
        tree = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    return multihost_utils.broadcast_one_to_all(jax.tree.map(np.asarray, tree))


def check_same(what: str, value: Any) -> None:
    """Ends a run whose hosts do not train the same.

    Args:
        what: is compared, for the message.
        value: JSON.

    Raises:
        UserError: it differs between hosts.
    """
    if n_hosts() == 1:
        return
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    digests = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    differing = [index for index, other in enumerate(digests) if (other != digests[0]).any()]
    if differing:
        named = ", ".join(map(str, differing[:5])) + ", …" * (len(differing) > 5)
        raise UserError(f"{what} of process {named} differ from those of process 0; give all "
                        "processes the same command, files and version of flowaa")


def connect(devices: Sequence[jax.Device]) -> None:
    """Lets devices that are to work together find each other, now that all hosts are here.

    They wait half a minute for it, which one host may be longer at its compilation than another.
    """
    if n_hosts() > 1:
        n_local = sum(device.process_index == jax.process_index() for device in devices)
        meet = jax.pmap(lambda x: jax.lax.psum(x, "hosts"), axis_name="hosts", devices=devices)
        jax.block_until_ready(meet(jnp.zeros(n_local)))
