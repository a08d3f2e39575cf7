"""Archetypal analysis in pictures: a hull in the plane, weights as bars, how many there are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from scipy.spatial import ConvexHull, QhullError

from flowaa.archetypes import Selection
from flowaa.figures.canvas import draw_points, new_figure, save

_LEGEND_COLUMNS = 6


def save_plane(path: Path | str, rows: np.ndarray, archetypes: np.ndarray, *,
               labels: np.ndarray | None = None, class_names: Sequence[str] = (),
               axis_names: Sequence[str] = ("$x_1$ (data units)", "$x_2$ (data units)"),
               title: str = "") -> None:
    """Draws rows in the plane, their convex hull, and the archetypes with theirs.

    Args:
        path: the PNG to write.
        rows: [N, 2].
        archetypes: [K, 2].
        labels: [N] classes, which give the colours; None for one colour.
        class_names: of the classes.
        axis_names: what the axes show, with units.
        title: a line above.

    Raises:
        ValueError: the points have another shape.
    """
    for points in (rows, archetypes):
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise ValueError(f"points have shape {points.shape}, not [N ≥ 1, 2]")
    figure = new_figure(6.6, 5.2)
    axes = figure.add_subplot()
    draw_points(axes, rows, labels, class_names)
    hull, corners = _outline(rows), _outline(archetypes)
    axes.plot(hull[:, 0], hull[:, 1], color="0.6", linewidth=1.0, label="hull of the data")
    axes.plot(corners[:, 0], corners[:, 1], color="black", linewidth=1.4)
    axes.plot(archetypes[:, 0], archetypes[:, 1], "o", color="black", markersize=7,
              label="archetypes and their hull")
    centre = rows.mean(0)
    for i, archetype in enumerate(archetypes):
        # Numbers stand outwards of their archetypes, which leaves the rows in sight.
        side = np.sign(archetype - centre)
        axes.annotate(f"{i}", archetype, xytext=tuple(9.0 * side), fontsize=11,
                      textcoords="offset points", ha="center", va="center")
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.grid(alpha=0.2)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, markerscale=1.5, frameon=False)
    if title:
        axes.set_title(title, fontsize=11)
    save(figure, path)


def save_weight_bars(path: Path | str, weights: np.ndarray, names: Sequence[str], *,
                     row_axis: str = "row", title: str = "") -> None:
    """Draws weights as stacked bars, one for each row.

    Args:
        path: the PNG to write.
        weights: [N, K] rows that sum to one.
        names: [N] of the rows; () leaves the axis without names, for many rows.
        row_axis: what the rows are.
        title: a line above.

    Raises:
        ValueError: there are no weights, or names for another number of rows.
    """
    if weights.ndim != 2 or not weights.size or len(names) not in (0, len(weights)):
        raise ValueError(f"weights have shape {weights.shape}, not [N ≥ 1, K ≥ 1] with N names")
    n, k = weights.shape
    figure = new_figure(float(np.clip(0.35 * n + 1.5, 5.0, 11.0)), 3.6)
    axes = figure.add_subplot()
    below = np.zeros(n)
    for i in range(k):
        axes.bar(np.arange(n), weights[:, i], bottom=below, width=0.92 if n <= 40 else 1.0,
                 color=_colour(i, k), label=f"archetype {i}")
        below = below + weights[:, i]
    axes.set(xlim=(-0.5, n - 0.5), ylim=(0.0, 1.0), xlabel=row_axis, ylabel="weight")
    axes.set_xticks(np.arange(n) if len(names) else [], names)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=min(k, _LEGEND_COLUMNS), fontsize=8,
                  frameon=False)
    if title:
        axes.set_title(title, fontsize=11)
    save(figure, path)


def save_selection(path: Path | str, selection: Selection) -> None:
    """Draws what the choice of the number of archetypes rests on.

    Args:
        path: the PNG to write.
        selection: of `archetypes.choose_n_archetypes`.
    """
    numbers = selection.n_archetypes
    figure = new_figure(12.0, 3.8)
    explained, gap, stability = figure.subplots(1, 3)
    explained.plot(numbers, selection.explained_variance, "o-", color="tab:blue", label="rows")
    explained.plot(numbers, selection.by_chance, "o--", color="0.5", label="permuted rows")
    if selection.held_out.shape[1]:
        explained.plot(numbers, selection.held_out.mean(1), "o-", color="tab:orange",
                       label="rows left out")
        for shift, name, colour in ((selection.shift, "rows", "tab:orange"),
                                    (selection.shift_by_chance, "permuted rows", "0.5")):
            low, middle, high = np.quantile(shift, (0.1, 0.5, 0.9), axis=1)
            stability.fill_between(numbers, low, high, color=colour, alpha=0.25, linewidth=0)
            stability.plot(numbers, middle, "o-", color=colour, label=f"resampled {name}")
    stability.plot(numbers, selection.seed_shift, "o-", color="tab:blue", label="other seeds")
    stability.set_ylim(bottom=0.0)
    gap.plot(numbers, selection.gap, "o-", color="tab:blue")
    explained.set_title("Explained share of the variance", fontsize=10)
    gap.set_title(f"Beyond chance, in logarithms: {selection.elbow}", fontsize=10)
    stability.set_title("Shift, in RMS radii of the data" + (
        f": {selection.by_stability}" if selection.by_stability else ""), fontsize=10)
    gap.axvline(selection.elbow, color="black", linewidth=1.0, linestyle=":")
    if selection.by_stability:
        stability.axvline(selection.by_stability, color="black", linewidth=1.0, linestyle=":")
    for axes in (explained, gap, stability):
        axes.set_xlabel("number of archetypes")
        axes.set_xticks(numbers)
        axes.grid(alpha=0.2)
    for axes in (explained, stability):
        axes.legend(fontsize=8)
    save(figure, path)


def _outline(points: np.ndarray) -> np.ndarray:
    """Corners of the convex hull [M, 2], closed; the points themselves where they have no area."""
    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:  # fewer than three points, or all on a line
        corners = points[np.lexsort(points.T[::-1])]
    return np.concatenate([corners, corners[:1]])


def _colour(i: int, count: int) -> str | tuple[float, ...]:
    """The colour of archetype i: one of matplotlib's ten, or of as many hues as archetypes."""
    return f"C{i}" if count <= 10 else colormaps["hsv"](i / count)
