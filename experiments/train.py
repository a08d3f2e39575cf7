"""`python -m experiments.train --config=configs/digits.py --workdir=runs/digits`: trains a flow.

Interrupt it whenever you like: the same command goes on where it stopped, with the same result.
With --distributed many processes, on as many machines as you like, train one run together.
"""

from pathlib import Path

from experiments import command, distributed
from flowaa.errors import UserError

_CONFIG = command.define_config()
_WORKDIR = command.define_workdir()


def main() -> None:
    """Trains what the flags say and prints the run's `summary.json`."""
    if _CONFIG.value is None or not _WORKDIR.value:
        raise UserError("give --config and --workdir, e.g. --config=configs/digits.py "
                        "--workdir=runs/digits")
    reports = distributed.join()
    # Imported here: `--help` should not wait for JAX.
    from flowaa.run.train import train

    workdir = Path(_WORKDIR.value).expanduser()
    try:
        run = train(_CONFIG.value, workdir)
    except OSError as error:  # a full disk has no name of its own
        raise OSError(error.errno, error.strerror, error.filename or str(workdir)) from error
    if not reports:
        return
    for name, value in run.summary.items():
        print(f"{name:40} {value:.6g}")
    print(f"figures in {workdir}/figures; restore with flowaa.load_run({str(workdir)!r})")


if __name__ == "__main__":
    command.run(main, leave=distributed.leave)
