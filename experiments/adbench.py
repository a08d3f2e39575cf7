"""Outlier detectors on a folder of labelled tables: ours, and baselines.

python -m experiments.adbench --data_dir=FOLDER --out=FILE.json

FOLDER holds .npz files with X [N, D] and y [N], 1 for outliers (as ADBench has them). Half of the
inliers trains, the other half and all outliers test: a random half for each seed, and once the
first half in the order of the file. No label is seen in training. What is measured is appended to
FILE.jsonl as it is found, and is not measured again; FILE.json gets flat named figures: AUROC, AUPR
and FPR95 in percent by table and on the mean, the tables lost to the nearest neighbour, and, of
p-values, the shares of runs whose false alarms come at the stated rate, within 3 binomial standard
errors.
"""

import json
import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from absl import flags

from experiments import command
from flowaa.errors import UserError, warn

_DATA = flags.DEFINE_string("data_dir", None, "Folder of .npz files with X and y (1: outlier).")
_OUT = flags.DEFINE_string("out", None, "JSON file of figures; FILE.jsonl beside it is resumed.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the random halves.")
_JOBS = flags.DEFINE_integer("n_jobs", 1, "Tables measured at the same time.", lower_bound=1)
_ONLY = flags.DEFINE_list("detectors", [], "Names of detectors; all if empty.")

_LEVELS = {"alarms_1": 0.01, "alarms_5": 0.05, "alarms_10": 0.1}
_LOST = 2.0  # points of AUROC below the nearest neighbour that count as a loss


def main() -> None:
    """Measures what the flags say and prints a table."""
    if not _DATA.value or not _OUT.value:
        raise UserError("give --data_dir, a folder of .npz tables, and --out, a .json file")
    files = sorted(Path(_DATA.value).expanduser().glob("*.npz"))
    if not files:
        raise UserError(f"--data_dir: {_DATA.value} holds no .npz file")
    out = Path(_OUT.value).expanduser()
    if not out.parent.is_dir():
        raise UserError(f"--out: the folder {out.parent} does not exist; make it first")
    for seed in _SEEDS.value:
        if not (seed.isascii() and seed.isdigit() and int(seed) < 2**32):
            raise UserError(f"--seeds: {seed!r} is no integer from 0 to 2^32 - 1; give e.g. 0,1,2")
    from experiments.benchmarks import _tabular_detectors as detectors  # takes scikit-learn along

    names = _ONLY.value or sorted(detectors.DETECTORS)
    unknown = set(names) - set(detectors.DETECTORS)
    if unknown:
        raise UserError(f"--detectors: there is no {sorted(unknown)[0]!r}; choose of "
                        f"{', '.join(sorted(detectors.DETECTORS))}")
    splits = ["file_order", *(f"seed_{seed}" for seed in _SEEDS.value)]
    log = out.with_suffix(".jsonl")
    rows = _read(log)
    done = {(row["table"], row["split"], row["detector"]) for row in rows}
    jobs = [(str(file), split, name) for file in files for split in splits for name in names
            if (file.stem, split, name) not in done]
    with log.open("a") as stream, ProcessPoolExecutor(_JOBS.value) as pool:
        for row in pool.map(detectors.measure, jobs):
            if "problem" in row:
                warn(f"{row['table']}: {row['problem']}; passed over")
                continue
            rows.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()
    wanted = {file.stem for file in files}
    rows = [row for row in rows if row["table"] in wanted and row["split"] in splits
            and row["detector"] in names]
    if not rows:
        raise UserError(f"--data_dir: no table of {_DATA.value} could be measured")
    figures = summarise(rows)
    known = {key: value if math.isfinite(value) else None for key, value in figures.items()}
    out.write_text(json.dumps(known, indent=2) + "\n")
    print(format_table(figures, names))


def summarise(rows: list[dict]) -> dict[str, float]:
    """Flat figures of the rows of the log: split/table/detector/metric, means, and sets lost."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        split = "halves" if row["split"].startswith("seed_") else row["split"]
        for metric in ("auroc", "aupr", "fpr95", "wall_s"):
            key = f"{split}/{row['table']}/{row['detector']}/{metric}"
            groups.setdefault(key, []).append(row[metric])
    figures = {key: sum(values) / len(values) for key, values in groups.items()}
    means: dict[str, list[float]] = {}
    for key, value in figures.items():
        split, _, detector, metric = key.split("/")
        means.setdefault(f"{split}/mean/{detector}/{metric}", []).append(value)
        if metric == "auroc":
            reference = figures.get(f"{split}/{key.split('/')[1]}/1-NN/auroc", value)
            means.setdefault(f"{split}/lost/{detector}", []).append(value < reference - _LOST)
    for row in rows:
        for name, level in _LEVELS.items():
            if name in row:
                error = math.sqrt(level * (1 - level) / row["n_inliers"])
                split = "halves" if row["split"].startswith("seed_") else row["split"]
                means.setdefault(f"{split}/{name}_as_stated/{row['detector']}", []).append(
                    abs(row[name] - level) <= 3 * error)
    return figures | {key: float(sum(values)) if "/lost/" in key else sum(values) / len(values)
                      for key, values in means.items()}


def format_table(figures: dict[str, float], names: list[str]) -> str:
    """AUROC by split and table, the means, and the tables lost to 1-NN by more than 2 points."""
    lines = []
    for split in ("halves", "file_order"):
        tables = sorted({key.split("/")[1] for key in figures if key.startswith(f"{split}/")}
                        - {"mean", "lost"})
        tables = [table for table in tables if not table.endswith("_as_stated")]
        if not tables:
            continue
        lines.append(f"{split + ', AUROC':30}" + "".join(f"{name:>9}" for name in names))
        for table in [*tables, "mean"]:
            values = [figures.get(f"{split}/{table}/{name}/auroc", math.nan) for name in names]
            lines.append(f"{table:30}" + "".join(f"{value:9.2f}" for value in values))
        for name in names:
            lost = [table for table in tables
                    if figures.get(f"{split}/{table}/{name}/auroc", 0)
                    < figures.get(f"{split}/{table}/1-NN/auroc", 0) - _LOST]
            if lost:
                lines.append(f"  {name} loses to 1-NN by more than 2 points on {len(lost)}: "
                             f"{', '.join(lost)}")
    return "\n".join(lines)


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
