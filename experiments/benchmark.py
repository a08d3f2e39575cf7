"""`python -m experiments.benchmark NAME --out=FILE.json`: a figure that a program can read.

Each benchmark is a module of `experiments/benchmarks/` with a function `run()` that prints a table
and returns a flat mapping from a figure's name to its value. One that has `draw(figures, path)` is
drawn as well, as a PNG beside the JSON.
"""

import importlib
import json
import math
import pkgutil
import sys
from pathlib import Path

from absl import flags

from experiments import benchmarks, command, overrides
from flowaa.errors import UserError

flags.DEFINE_integer(
    "splits", 5, "densities, return_periods, heavy_tails, light_tails.", lower_bound=1)
flags.DEFINE_integer(
    "count", 20, "faults: truncations, deletions, poisoned batches, kills and signals; ten times "
    "as many flips.", lower_bound=1)
flags.DEFINE_float(
    "max_seconds", 60.0, "densities, return_periods, heavy_tails, light_tails: of each fit.",
    lower_bound=1.0)
flags.DEFINE_bool("dequantise", False, "densities: noise for columns of repeated values.")
flags.DEFINE_float("minutes", 15.0, "pictures: of each library's training.", lower_bound=0.1)
_OUT, _ONLY = command.define_out(), command.define_only()
_TABLES = flags.DEFINE_string(
    "tables", "", "densities, return_periods, real_detectors, archetypes_real: folder of tables as "
    "ADBench has them, .npz with X and y; without it, scikit-learn's alone. pictures: a file.")


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__)
                  if not module.name.startswith("_"))


def cards() -> str:
    """The benchmarks and what each measures."""
    return "benchmarks, for NAME:\n" + overrides.cards(Path(benchmarks.__path__[0]))


def main(name: str) -> None:
    """Runs one benchmark, prints its figures and writes them where `--out` says."""
    if name not in names():
        problem = f"there is no benchmark {name!r}" if name else "give a benchmark's name"
        raise UserError(f"{problem}; there are {', '.join(names())}")
    out = Path(_OUT.value) if _OUT.value else None
    if out is not None and not out.parent.is_dir():
        raise UserError(f"--out: the folder {out.parent} does not exist; make it first")
    benchmark = importlib.import_module(f"experiments.benchmarks.{name}")
    figures = benchmark.run()
    for key, value in figures.items():
        print(f"{key:48} {value}")
    if out is not None:
        # JSON has no word for infinity and NaN: what could not be measured is null.
        known = {key: value if math.isfinite(value) else None for key, value in figures.items()}
        out.write_text(json.dumps(known, indent=2, allow_nan=False) + "\n")
        if hasattr(benchmark, "draw"):
            benchmark.draw(figures, out.with_suffix(".png"))


if __name__ == "__main__":
    # The benchmark's name stands before the flags, as a subcommand.
    given = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    if given is not None:
        sys.argv.remove(given)
    command.run(lambda: main(given or ""), help_sections=cards)
