"""Ranks of detectors over tables, and how large a difference of mean ranks chance makes.

Demsar 2006, "Statistical comparisons of classifiers over multiple data sets": Friedman's test asks
whether any differ, Nemenyi's critical difference which pairs do, at 5 %.
"""

import dataclasses
import math
from pathlib import Path

import numpy as np
from scipy import stats

from flowaa.figures.canvas import new_figure, save

_LEVEL = 0.05
_TITLES = {"halves": "random halves", "file_order": "order of the file"}


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Mean ranks over tables.

    Attributes:
        mean: of each detector, 1 is best; ties share their ranks.
        n_tables: that all of them were measured on.
        friedman_p: chance of ranks as far apart if none differs.
        critical_difference: of two mean ranks, beyond which a pair differs at 5 %.
    """

    mean: dict[str, float]
    n_tables: int
    friedman_p: float
    critical_difference: float

    def groups(self) -> list[list[str]]:
        """The largest groups in which no pair differs, best first; at least two in each."""
        names = sorted(self.mean, key=lambda name: self.mean[name])
        found: list[list[str]] = []
        for start, first in enumerate(names):
            group = [name for name in names[start:]
                     if self.mean[name] - self.mean[first] <= self.critical_difference]
            if len(group) > 1 and not (found and set(group) <= set(found[-1])):
                found.append(group)
        return found


def rank(scores: dict[str, dict[str, float]]) -> Ranks | None:
    """Ranks of detectors by scores[detector][table], larger = better.

    None with fewer than three detectors, which Friedman's test needs, or than two tables that all
    of them have.
    """
    tables = sorted(set.intersection(*map(set, scores.values()))) if scores else []
    if len(scores) < 3 or len(tables) < 2:
        return None
    values = np.array([[of_one[table] for table in tables] for of_one in scores.values()])
    ranks = stats.rankdata(-values, axis=0).mean(1)
    k, n = len(scores), len(tables)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = float(stats.friedmanchisquare(*values).pvalue)  # NaN where all scores are equal
    difference = stats.studentized_range.ppf(1 - _LEVEL, k, math.inf) / math.sqrt(2) * math.sqrt(
        k * (k + 1) / (6 * n))
    return Ranks(dict(zip(scores, ranks.tolist(), strict=True)), n,
                 1.0 if math.isnan(p) else p, float(difference))


def save_ranks(path: Path, ranks_of: dict[str, Ranks]) -> None:
    """A panel for each split: mean ranks, and bars over detectors that do not differ.

    Args:
        path: of the PNG.
        ranks_of: by the split's name.
    """
    n = max(len(ranks.mean) for ranks in ranks_of.values())
    figure = new_figure(8.0, len(ranks_of) * (1.9 + 0.32 * n))
    panels = np.atleast_1d(figure.subplots(len(ranks_of), 1))
    for panel, (split, ranks) in zip(panels, ranks_of.items(), strict=True):
        names = sorted(ranks.mean, key=lambda name: ranks.mean[name])
        at = {name: index for index, name in enumerate(names)}
        for name, index in at.items():
            is_ours = name.startswith("ours")
            panel.plot(ranks.mean[name], index, "o", color="tab:blue" if is_ours else "0.35")
            panel.text(ranks.mean[name] + 0.12, index, f"{name}  {ranks.mean[name]:.2f}",
                       va="center", fontsize=9, weight="bold" if is_ours else "normal")
        groups = ranks.groups()
        for index, group in enumerate(groups):
            x = 0.85 - 0.18 * (len(groups) - 1 - index)
            panel.plot([x, x], [at[group[0]] - 0.3, at[group[-1]] + 0.3], color="0.5", lw=2.5,
                       solid_capstyle="butt")
        panel.set(xlim=(0.85 - 0.18 * len(groups), len(names) + 1.6), ylim=(len(names) - 0.4, -0.6),
                  yticks=[], xticks=range(1, len(names) + 1), xlabel="mean rank by AUROC, 1 = best",
                  title=f"{_TITLES.get(split, split)}: {ranks.n_tables} tables, "
                  f"Friedman p = {ranks.friedman_p:.2g}; a bar joins ranks within "
                  f"{ranks.critical_difference:.2f} (Nemenyi, 5 %)")
        panel.title.set_fontsize(10)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.grid(axis="x", alpha=0.2)
    save(figure, path)
