"""Writes one page about a finished run, to look at and to pass on.

python -m experiments.report --workdir=runs/digits

`report.html` in the run's folder opens from disk and asks nothing of the network: what was trained,
whether its density is to be trusted, curves, samples, archetypes, outliers from typical to extreme,
how far the held-out rows go, detectors. Pictures that the other commands left in `figures/` are
shown; those of outliers and extremes are made if they are not there yet.
"""

from pathlib import Path

from experiments import command
from flowaa.errors import UserError

_WORKDIR = command.define_workdir()
_STEP = command.define_step()


def main() -> None:
    """Makes what is missing and writes the page."""
    if not _WORKDIR.value:
        raise UserError("give --workdir, the folder of a finished run")
    # Imported here: `--help` should not wait for JAX.
    from experiments.report_sections import report_of
    from flowaa.run import load_run
    from flowaa.training.files.run_folder import write_atomically

    run = load_run(_WORKDIR.value, _STEP.value)
    path = Path(_WORKDIR.value).expanduser() / "report.html"
    page = report_of(run)
    # In ASCII, with references for what is not: it is then right in whatever encoding files have.
    write_atomically(path, page.encode("ascii", "xmlcharrefreplace").decode())
    print(f"report in {path} ({len(page) / 1e6:.1f} MB); it opens in any browser")


if __name__ == "__main__":
    command.run(main)
