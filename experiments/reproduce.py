"""Makes the figures of the thesis's chapter 4, sized for a CPU.

python -m experiments.reproduce --out=runs/reproduce
python -m experiments.reproduce --only=fig4_1,fig4_3

Each is a PNG and a JSON of its numbers in the output's folder; `README.md` there shows them all.
The steps are other commands, each in a process of its own; `runs/` has their runs and `logs/` what
they said. The same command goes on where it stopped: what is finished is not made again. A step
that fails is told in one line and the others go on; the exit status is then 2.
"""

import os
import sys
from pathlib import Path

from absl import flags

from experiments import command
from flowaa.errors import UserError

_OUT, _ONLY = command.define_out(), command.define_only()
_JOBS = flags.DEFINE_integer("jobs", None, "Processes side by side; by default one a core.",
                             lower_bound=1)
_SMOKE = flags.DEFINE_bool("smoke", False, "A few training steps each: that it runs, no result.")


def main() -> None:
    """Makes what the flags say."""
    if _OUT.value == "":
        raise UserError("--out: give a folder")
    # Imported here: `--help` should not wait for them.
    from experiments.reproduce_figures import make_figure, write_page
    from experiments.reproduce_jobs import FIGURES, STEPS
    from experiments.reproduce_steps import run_steps

    names = [figure.name for figure in FIGURES]
    unknown = [name for name in _ONLY.value if name not in names]
    if unknown:
        raise UserError(f"--only: there is no figure {unknown[0]!r}; there are {', '.join(names)}")
    wanted = [figure for figure in FIGURES if not _ONLY.value or figure.name in _ONLY.value]
    by_name = {step.name: step for step in STEPS}
    needed = {figure.step for figure in wanted}
    needed |= {by_name[name].after for name in needed}
    out = Path(_OUT.value or "runs/reproduce").expanduser().absolute()
    out.mkdir(parents=True, exist_ok=True)
    failed = run_steps([step for step in STEPS if step.name in needed], out,
                       n_jobs=_JOBS.value or os.cpu_count() or 1, smoke=_SMOKE.value)
    for name, reason in failed.items():
        print(f"{name} failed: {reason}", file=sys.stderr)
    missing = [figure.name for figure in wanted if figure.step in failed]
    for figure in wanted:
        if figure.step not in failed:
            make_figure(figure, by_name[figure.step], out, smoke=_SMOKE.value)
    write_page(FIGURES, out)
    print(f"{len(wanted) - len(missing)} of {len(wanted)} figures; see {out}/README.md")
    if missing:
        raise UserError(f"not made: {', '.join(missing)}; the same command tries again")


if __name__ == "__main__":
    command.run(main)
