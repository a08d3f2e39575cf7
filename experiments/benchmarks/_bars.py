"""Named quantities side by side: a panel for each quantity, a bar for each name."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowaa.figures.canvas import new_figure, save

_PANEL_INCHES = (3.3, 2.4)
_HEADROOM = 0.22  # of the longest bar, for its value


@dataclasses.dataclass(frozen=True)
class Panel:
    """One quantity of each name."""

    title: str
    unit: str  # of the values, with the side that is better: "ms a step, lower is better"
    values: Mapping[str, float]
    start: float = 0.0  # of the axis; not zero where differences are small beside the values


def save_bars(path: Path | str, panels: Sequence[Panel], *, highlight: str, n_columns: int = 3,
              title: str = "") -> None:
    """Draws horizontal bars with their values; the bar named `highlight` stands out.

    Args:
        path: the PNG to write.
        panels: the quantities, row by row.
        highlight: the name whose bars are coloured.
        n_columns: panels in a row.
        title: a line above.

    Raises:
        ValueError: if there is no panel.
    """
    if not panels:
        raise ValueError("there is nothing to draw")
    n_rows = -(-len(panels) // n_columns)
    width, height = _PANEL_INCHES
    figure = new_figure(width * n_columns, height * n_rows + (0.3 if title else 0.0))
    grid = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, highlight)
    for axes in list(grid)[len(panels):]:
        axes.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=11)
    save(figure, path)


def _draw(axes: Any, panel: Panel, highlight: str) -> None:
    """One panel, its first name on top."""
    names, values = list(panel.values), list(panel.values.values())
    colours = ["tab:blue" if name == highlight else "0.7" for name in names]
    bars = axes.barh(names, [value - panel.start for value in values], left=panel.start,
                     color=colours)
    axes.bar_label(bars, [f"{value:.4g}" for value in values], padding=3, fontsize=8)
    axes.invert_yaxis()
    lowest, highest = min(panel.start, *values), max(values)
    axes.set_xlim(lowest, highest + _HEADROOM * (highest - lowest or 1.0))
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.unit, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
