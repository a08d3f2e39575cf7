"""Pictures on a simplex: points, densities and images at their mixtures of the corners."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.stats
from matplotlib.axes import Axes

from flowaa.figures.canvas import draw_image, draw_points, new_figure, save
from flowaa.figures.images import to_unit

_DENSITY_STEPS = 80  # of the lattice a density is drawn on
_EDGE = 1e-3  # a Dirichlet density may be infinite on the boundary; drawn from here on


def corners(k: int) -> np.ndarray:
    """Corners [K, 2] of a regular polygon, the first on top; three make the simplex itself."""
    angle = np.pi / 2 - 2 * np.pi * np.arange(k) / k
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def save_simplex(path: Path | str, weights: np.ndarray, names: Sequence[str], *,
                 labels: np.ndarray | None = None, label_names: Sequence[str] = (),
                 title: str = "") -> None:
    """Draws weights [N, K] as points between K corners; with K > 3 this is a shadow of the simplex.

    Args:
        path: the PNG to write.
        weights: rows that sum to one; those outside the simplex lie outside the polygon.
        names: of the corners.
        labels: [N] classes, which give the colours; None for one colour.
        label_names: of the classes.
        title: a line above.
    """
    figure = new_figure(7.0 if labels is not None else 5.6, 5.6)
    axes = figure.add_subplot()
    _draw_polygon(axes, names)
    draw_points(axes, weights @ corners(len(names)), labels, label_names)
    if labels is not None:
        axes.legend(fontsize=8, markerscale=2.0, loc="center left", bbox_to_anchor=(1.05, 0.5))
    axes.set_title(title, fontsize=11, pad=20)
    save(figure, path)


def save_image_triangle(path: Path | str, images: np.ndarray, weights: np.ndarray,
                        names: Sequence[str], *, value_range: tuple[float, float] | None = None,
                        title: str = "") -> None:
    """Draws images [N, H, W, 1 or 3] at their mixtures [N, 3] of three corners."""
    points = weights @ corners(3)
    n_steps = round((np.sqrt(8 * len(weights) + 1) - 3) / 2)
    half = 0.48 * 1.5 / n_steps  # of the distance between the lattice's rows
    figure = new_figure(7.5, 6.8)
    axes = figure.add_subplot()
    for image, (x, y) in zip(to_unit(images, value_range), points, strict=True):
        draw_image(axes, image, (x - half, x + half, y - half, y + half))
    _name_corners(axes, names, 1.0 + 1.6 * half, margin=half)
    axes.set_title(title, fontsize=11)
    save(figure, path)


def save_image_table(path: Path | str, images: np.ndarray, *, row_names: Sequence[str] = (),
                     column_names: Sequence[str] = (),
                     value_range: tuple[float, float] | None = None, title: str = "") -> None:
    """Draws a table of images [R, C, H, W, 1 or 3] with names of its rows and columns."""
    n_rows, n_columns = images.shape[:2]
    unit = to_unit(images, value_range)
    figure = new_figure(0.75 * n_columns + 1.4, 0.75 * n_rows + 0.9)
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for row in range(n_rows):
        for column in range(n_columns):
            draw_image(panels[row, column], unit[row, column])
    for name, panel in zip(column_names, panels[0], strict=False):
        panel.set_title(name, fontsize=8)
    for name, panel in zip(row_names, panels[:, 0], strict=False):
        panel.set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
    figure.suptitle(title, fontsize=10)
    save(figure, path)


def save_dirichlet_draws(path: Path | str, concentrations: Sequence[np.ndarray],
                         draws: Sequence[np.ndarray], images: Sequence[np.ndarray],
                         names: Sequence[str], row_names: Sequence[str], *,
                         value_range: tuple[float, float] | None = None, title: str = "") -> None:
    """Draws Dirichlet densities on a triangle, each beside what is decoded of its draws.

    Args:
        path: the PNG to write.
        concentrations: of each density, [3].
        draws: of each density, weights [N, 3].
        images: of each density, its draws decoded, [N, H, W, 1 or 3].
        names: of the corners.
        row_names: of the densities.
        value_range: the values shown as black and as white.
        title: a line above.
    """
    n_images = len(images[0])
    figure = new_figure(2.6 + 1.1 * n_images, 1.5 * len(concentrations) + 0.5)
    grid = figure.add_gridspec(len(concentrations), n_images + 1,
                               width_ratios=[2.3, *[1.0] * n_images])
    for row, concentration in enumerate(concentrations):
        axes = figure.add_subplot(grid[row, 0])
        _draw_density(axes, concentration)
        _draw_polygon(axes, names, font_size=7)
        points = draws[row] @ corners(3)
        axes.scatter(points[:, 0], points[:, 1], s=14, color="white", edgecolors="black",
                     linewidths=0.6)
        axes.set_title(row_names[row], fontsize=9)
        for column, image in enumerate(to_unit(images[row], value_range)):
            draw_image(figure.add_subplot(grid[row, 1 + column]), image)
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def _draw_density(axes: Axes, concentration: np.ndarray) -> None:
    steps = np.linspace(_EDGE, 1.0 - 2 * _EDGE, _DENSITY_STEPS)
    first, second = (values.ravel() for values in np.meshgrid(steps, steps))
    inside = first + second < 1.0 - _EDGE / 2
    weights = np.stack([first, second, 1.0 - first - second], axis=1)[inside]
    density = scipy.stats.dirichlet(concentration).pdf(weights.T)
    x, y = (weights @ corners(3)).T
    axes.tricontourf(x, y, np.minimum(density, np.quantile(density, 0.98)), levels=20,
                     cmap="Blues")


def _draw_polygon(axes: Axes, names: Sequence[str], font_size: int = 9) -> None:
    outline = corners(len(names))
    axes.fill(*outline.T, facecolor="none", edgecolor="0.5", linewidth=1.0)
    _name_corners(axes, names, 1.08, font_size)


def _name_corners(axes: Axes, names: Sequence[str], radius: float, font_size: int = 9,
                  margin: float = 0.1) -> None:
    """Writes names beside the corners, and leaves a margin around them."""
    places = radius * corners(len(names))
    for name, (x, y) in zip(names, places, strict=True):
        aside = "center" if abs(x) < 0.3 else ("left" if x > 0 else "right")
        above = "bottom" if y > 0.3 else ("top" if y < -0.3 else "center")
        axes.text(x, y, name, fontsize=font_size, ha=aside, va=above)
    low, high = places.min(0) - margin, places.max(0) + margin
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_axis_off()
