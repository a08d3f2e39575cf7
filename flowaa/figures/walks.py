"""A walk from typical to extreme: one level beside the next, each direction followed outwards."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowaa.figures.canvas import draw_image, new_figure, save, thinned
from flowaa.figures.images import image_grid, to_unit

_MAX_POINTS = 2_000  # of a panel: more hide one another
_MAX_COLUMNS = 4


def save_image_walk(
    path: Path | str, levels: Sequence[tuple[str, np.ndarray]], *, title: str,
    value_range: tuple[float, float] | None = None,
) -> None:
    """Draws a row of images for each level; a column follows one direction outwards.

    Args:
        path: the PNG to write.
        levels: name and images [N, H, W, 1 or 3] of each, from typical to extreme.
        title: a line above.
        value_range: the values shown as black and as white, see `save_image_grid`.
    """
    strips = [image_grid(to_unit(images, value_range), len(images)) for _, images in levels]
    height, width = strips[0].shape[:2]
    panel_width = 8.0
    panel_height = panel_width * height / width
    figure = new_figure(panel_width + 1.2, len(levels) * (panel_height + 0.05) + 0.5)
    for axes, (name, _), strip in zip(
            figure.subplots(len(levels), 1, squeeze=False)[:, 0], levels, strips, strict=True):
        draw_image(axes, strip)
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def save_point_walk(
    path: Path | str, data: np.ndarray, levels: Sequence[tuple[str, np.ndarray]], *, title: str,
    axis_names: tuple[str, str] = ("$x_1$ (data units)", "$x_2$ (data units)"),
    data_name: str = "data",
) -> None:
    """Draws a panel of points for each level, below other points in grey.

    Args:
        path: the PNG to write.
        data: [N, 2], in grey.
        levels: name and points [M, 2] of each, from typical to extreme. The axes hold nearly all
            of them; those outside are counted in the panel's title.
        title: a line above.
        axis_names: of both axes.
        data_name: says what is grey.
    """
    everything = np.concatenate([data, *(points for _, points in levels)])
    everything = everything[np.isfinite(everything).all(1)]
    low, high = np.percentile(everything, [0.5, 99.5], axis=0)
    low, high = np.minimum(low, data.min(0)), np.maximum(high, data.max(0))
    margin = 0.05 * np.maximum(high - low, 1e-6)
    low, high = low - margin, high + margin
    n_rows = -(-len(levels) // _MAX_COLUMNS)
    n_columns = -(-len(levels) // n_rows)
    figure = new_figure(3.0 * n_columns, 3.3 * n_rows + 0.4)
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.ravel()[len(levels):]:
        axes.set_visible(False)
    for axes, (name, points) in zip(panels.ravel(), levels, strict=False):
        inside = ((points >= low) & (points <= high)).all(1)
        n_outside = int((~inside).sum())
        # The data lie on top, small: there are fewer of them than of the points in a small table.
        axes.scatter(*thinned(points[inside], _MAX_POINTS).T, s=9, color="tab:red", linewidths=0,
                     alpha=0.45)
        axes.scatter(*thinned(data, _MAX_POINTS).T, s=4, color="0.35", linewidths=0)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(name + (f" ({n_outside} outside the axes)" if n_outside else ""),
                       fontsize=10)
        axes.grid(alpha=0.2)
    for axes in panels[-1]:
        axes.set_xlabel(axis_names[0])
    for axes in panels[:, 0]:
        axes.set_ylabel(axis_names[1])
    figure.suptitle(f"{title}; {data_name} in grey", fontsize=11)
    save(figure, path)
