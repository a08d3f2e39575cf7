"""Outlier detectors on a folder of labelled tables: ours, and baselines.

python -m experiments.adbench --data_dir=FOLDER --out=FILE.json

FOLDER holds .npz files with X [N, D] and y [N], 1 for outliers (as ADBench has them). Half of the
inliers trains, the other half and all outliers test: a random half for each seed, and once the
first half in the order of the file. No label is seen in training. What is measured is appended to
FILE.jsonl as it is found, and is not measured again. Of three detectors or more on two tables or
more FILE.png shows the mean ranks by AUROC, with the difference that chance makes. FILE.json gets
flat named figures: AUROC, AUPR and FPR95 in percent by table and on the mean, mean ranks, the
tables lost to the nearest neighbour, and, of p-values (ours, and those of the nearest neighbour's
distance), the rate of false alarms at 1, 5 and 10 %, the share of runs in which it is as stated
(within 3 standard errors; as n rows calibrate and m test, the variance is
p (1 - p) (1/m + 1/(n + 2)), as for the beta-binomial law of conformal p-values), and the false
discovery rate and power of Benjamini and Hochberg's rule at 10 % in batches of which 5 % are
outliers.

With --contamination=0.1 outliers are mixed into the training rows, and the loss is against the
same detector without them on the same test rows; `ours_stated` is ours, told the share.
"""

import json
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from absl import flags

from experiments import command
from experiments.benchmarks._ranks import save_ranks
from experiments.benchmarks._tabular_figures import (
    format_table,
    rank_figures,
    ranks_by_split,
    summarise,
)
from flowaa.errors import UserError, warn

_DATA = flags.DEFINE_string("data_dir", None, "Folder of .npz files with X and y (1: outlier).")
_OUT = command.define_out()
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the random halves.")
_JOBS = flags.DEFINE_integer("n_jobs", 1, "Tables measured at the same time.", lower_bound=1)
_ONLY = flags.DEFINE_list("detectors", [], "Names of detectors; all if empty.")
_CONTAMINATION = flags.DEFINE_float(
    "contamination", 0.0, "Share of outliers among the training rows; at most half of a table's "
    "outliers are mixed in, the others test.", lower_bound=0.0, upper_bound=0.5)


def main() -> None:
    """Measures what the flags say and prints a table."""
    if not _DATA.value or not _OUT.value:
        raise UserError("give --data_dir, a folder of .npz tables, and --out, a .json file")
    files = sorted(Path(_DATA.value).expanduser().glob("*.npz"))
    if not files:
        raise UserError(f"--data_dir: {_DATA.value} holds no .npz file")
    out = Path(_OUT.value).expanduser()
    if out.suffix != ".json":
        raise UserError(f"--out: {out} does not end in .json; FILE.jsonl and FILE.png lie beside "
                        "it")
    if not out.parent.is_dir():
        raise UserError(f"--out: the folder {out.parent} does not exist; make it first")
    for seed in _SEEDS.value:
        if not (seed.isascii() and seed.isdigit() and int(seed) < 2**32):
            raise UserError(f"--seeds: {seed!r} is no integer from 0 to 2^32 - 1; give e.g. 0,1,2")
    from experiments.benchmarks import _tabular_detectors as detectors  # takes scikit-learn along

    share = _CONTAMINATION.value
    known = [*sorted(detectors.DETECTORS), *([detectors.STATED] if share else [])]
    names = _ONLY.value or known
    unknown = set(names) - set(known)
    if unknown:
        raise UserError(f"--detectors: there is no {sorted(unknown)[0]!r}; choose of "
                        f"{', '.join(known)}")
    splits = ["file_order", *(f"seed_{seed}" for seed in _SEEDS.value)]
    jobs = [detectors.Job(str(file), split, name, share)
            for file in files for split in splits for name in names]
    log = out.with_suffix(".jsonl")
    rows = _read(log)
    done = {_key(row) for row in rows}
    left = [job for job in jobs if job.key not in done]
    with log.open("a") as stream, ProcessPoolExecutor(_JOBS.value) as pool:
        for row in pool.map(detectors.measure, left):
            if "problem" in row:
                warn(f"{row['table']}: {row['problem']}; passed over")
                continue
            rows.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
    wanted = {job.key for job in jobs}
    rows = [row for row in rows if _key(row) in wanted]
    if not rows:
        raise UserError(f"--data_dir: no table of {_DATA.value} could be measured")
    figures = summarise(rows)
    ranks_of = ranks_by_split(figures, names)
    figures |= rank_figures(ranks_of)
    finite = {key: value if math.isfinite(value) else None for key, value in figures.items()}
    out.write_text(json.dumps(finite, indent=2) + "\n")
    print(format_table(figures, names))
    picture = out.with_suffix(".png")
    picture.unlink(missing_ok=True)  # of other figures than those beside it
    if ranks_of:
        save_ranks(picture, ranks_of)
        print(f"mean ranks: {picture}")


def _key(row: dict) -> tuple[str, str, str, float]:
    """What `Job.key` is of the job that a row is of."""
    return row["table"], row["split"], row["detector"], row.get("contamination", 0.0)


def _read(log: Path) -> list[dict]:
    """Rows of an earlier run; a last line that was cut off is measured again."""
    if not log.exists():
        return []
    rows = []
    lines = log.read_text().splitlines(keepends=True)
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    if lines and not lines[-1].endswith("\n"):
        log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


if __name__ == "__main__":
    command.run(main)
