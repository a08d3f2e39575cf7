"""The flags of a training on many hosts: where they meet, how many there are, which one this is."""

import warnings

from absl import flags

from flowaa.errors import UserError

_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Many processes train one run, each started with this command; SLURM, "
    "Open MPI, Kubernetes and Cloud TPU say themselves how many, elsewhere the next three flags.")
_ADDRESS = flags.DEFINE_string(
    "coordinator_address", None, "HOST:PORT of process 0; any free port.")
_COUNT = flags.DEFINE_integer(
    "num_processes", None, "How many processes there are.", lower_bound=1,
    upper_bound=100_000)
_INDEX = flags.DEFINE_integer(
    "process_id", None, "Which of them this one is, from 0 on.", lower_bound=0,
    upper_bound=100_000)
_TIMEOUT = flags.DEFINE_integer(
    "join_timeout_s", 300, "Seconds after which processes that have not met give up.",
    lower_bound=1, upper_bound=86_400)


def join() -> bool:
    """Meets the other processes if the flags say so; returns whether this is the one that reports.

    Raises:
        UserError: a flag is missing, or the processes cannot meet.
    """
    if not _DISTRIBUTED.value:
        for flag in (_ADDRESS, _COUNT, _INDEX):
            if flag.value is not None:
                raise UserError(f"--{flag.name} is for --distributed; give that too")
        return True
    # Imported here: `--help` should not wait for JAX.
    from flowaa.training.hosts.agreement import is_main
    from flowaa.training.hosts.joining import join

    join(_ADDRESS.value, _COUNT.value, _INDEX.value, timeout_s=_TIMEOUT.value)
    if not is_main():  # what one process warns of need not be read from each
        warnings.simplefilter("ignore")
    return is_main()


def leave() -> bool:
    """Before a process ends with an error: waits a moment for the others, which may have the same.

    Returns:
        Whether it had joined others.
    """
    if not _DISTRIBUTED.value:
        return False
    from flowaa.training.hosts.joining import leave

    leave()
    return True
