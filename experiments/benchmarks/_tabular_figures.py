"""Figures of measured detectors of outliers in tables: means, losses, false alarms; and a table."""

import math

from experiments.benchmarks._ranks import Ranks, rank

LEVELS = {"alarms_1": 0.01, "alarms_5": 0.05, "alarms_10": 0.1}  # of false alarms
_LOST = 2.0  # points of AUROC below the nearest neighbour that count as a loss
_METRICS = ("auroc", "aupr", "fpr95", "wall_s", "clean_auroc", "loss", "mixed_percent", "fdp",
            "power", *LEVELS)


def summarise(rows: list[dict]) -> dict[str, float]:
    """Flat figures split/table/detector/metric of the rows of the log; the table "mean" is of all.

    split/lost/detector counts tables lost to 1-NN, and split/as_stated/detector/alarms_5 is the
    share of runs whose false alarms at 5 % come at that rate, within 3 standard errors.
    """
    groups: dict[str, list[float]] = {}
    for row in rows:
        for metric in _METRICS:
            if metric in row:
                key = f"{_split(row)}/{row['table']}/{row['detector']}/{metric}"
                groups.setdefault(key, []).append(row[metric])
    figures = {key: _mean(values) for key, values in groups.items()}
    means: dict[str, list[float]] = {}
    for key, value in figures.items():
        split, _, detector, metric = key.split("/")
        means.setdefault(f"{split}/mean/{detector}/{metric}", []).append(value)
    figures |= {f"{split}/lost/{detector}": float(len(lost_tables(figures, split, detector)))
                for split, detector in {(_split(row), row["detector"]) for row in rows}}
    for row in rows:
        for name, level in LEVELS.items():
            if name in row:
                variance = level * (1 - level) * (1 / row["n_inliers"] + 1 / (row["n_train"] + 2))
                means.setdefault(f"{_split(row)}/as_stated/{row['detector']}/{name}", []).append(
                    abs(row[name] - level) <= 3 * math.sqrt(variance))
    return figures | {key: _mean(values) for key, values in means.items()}


def lost_tables(figures: dict[str, float], split: str, detector: str) -> list[str]:
    """Tables on which a detector's AUROC is more than 2 points below the nearest neighbour's."""
    def auroc(table: str, name: str) -> float:
        return figures.get(f"{split}/{table}/{name}/auroc", math.nan)

    return [table for table in _tables(figures, split)
            if auroc(table, detector) < auroc(table, "1-NN") - _LOST]


def ranks_by_split(figures: dict[str, float], names: list[str]) -> dict[str, Ranks]:
    """Ranks of the detectors by AUROC, of the splits of which there are enough tables."""
    found = {}
    for split in ("halves", "file_order"):
        scores = {name: {table: figures[f"{split}/{table}/{name}/auroc"]
                         for table in _tables(figures, split)
                         if f"{split}/{table}/{name}/auroc" in figures} for name in names}
        ranks = rank({name: of_one for name, of_one in scores.items() if of_one})
        if ranks:
            found[split] = ranks
    return found


def rank_figures(ranks_of: dict[str, Ranks]) -> dict[str, float]:
    """Flat figures of ranks: split/mean_rank/detector, critical difference and Friedman's p."""
    figures: dict[str, float] = {}
    for split, ranks in ranks_of.items():
        figures |= {f"{split}/mean_rank/{name}": value for name, value in ranks.mean.items()}
        figures |= {f"{split}/critical_difference_of_ranks": ranks.critical_difference,
                    f"{split}/friedman_p": ranks.friedman_p}
    return figures


def format_table(figures: dict[str, float], names: list[str]) -> str:
    """AUROC by split and table, the means, what is lost, false alarms and discoveries."""
    lines = []
    for split in ("halves", "file_order"):
        tables = _tables(figures, split)
        if not tables:
            continue
        lines.append(f"{split + ', AUROC':30}" + "".join(f"{name:>12}" for name in names))
        for table in [*tables, "mean"]:
            lines.append(f"{table:30}" + _values(figures, f"{split}/{table}", names, "auroc"))
        if any(key.endswith("/loss") for key in figures):
            mixed = figures[f"{split}/mean/{names[0]}/mixed_percent"]
            lines += [f"{'mean without outliers in training':30}"
                      + _values(figures, f"{split}/mean", names, "clean_auroc"),
                      f"{f'loss by {mixed:.1f} % of outliers':30}"
                      + _values(figures, f"{split}/mean", names, "loss")]
        for name in names:
            lost = lost_tables(figures, split, name)
            if lost:
                lines.append(f"  {name} loses to 1-NN by more than 2 points on {len(lost)}: "
                             f"{', '.join(lost)}")
            if f"{split}/mean/{name}/fdp" in figures:
                rates = [(100 * figures[f"{split}/mean/{name}/{level}"],
                          100 * figures[f"{split}/as_stated/{name}/{level}"]) for level in LEVELS]
                fdp, power = (figures[f"{split}/mean/{name}/{key}"] for key in ("fdp", "power"))
                lines.append(f"  {name}: false alarms at 1, 5, 10 %: "
                             + ", ".join(f"{rate:.2f}" for rate, _ in rates) + " % (as stated in "
                             + ", ".join(f"{share:.0f}" for _, share in rates) + " % of runs); "
                             f"false discoveries at 10 %: {fdp:.1f} %, power {power:.1f} %")
    return "\n".join(lines)


def _values(figures: dict[str, float], start: str, names: list[str], metric: str) -> str:
    return "".join(f"{figures.get(f'{start}/{name}/{metric}', math.nan):12.2f}" for name in names)


def _tables(figures: dict[str, float], split: str) -> list[str]:
    return sorted({key.split("/")[1] for key in figures
                   if key.startswith(f"{split}/") and key.endswith("/auroc")} - {"mean"})


def _split(row: dict) -> str:
    return "halves" if row["split"].startswith("seed_") else row["split"]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
