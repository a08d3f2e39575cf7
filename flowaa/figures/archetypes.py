"""Archetypal analysis in pictures: a hull in the plane, weights as bars, an elbow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from scipy.spatial import ConvexHull, QhullError

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


def save_selection(path: Path | str, n_archetypes: np.ndarray, explained_variance: np.ndarray,
                   shift: np.ndarray, *, elbow: int) -> None:
    """Draws what the choice of the number of archetypes rests on.

    Args:
        path: the PNG to write.
        n_archetypes: [M] the numbers tried.
        explained_variance: [M] share of the variance.
        shift: [M, R] distances of bootstrap archetypes, see `archetypes.choose_n_archetypes`; R
            may be 0.
        elbow: the number suggested, one of those tried.

    Raises:
        ValueError: the lengths differ, or the elbow is not among the numbers.
    """
    if not len(n_archetypes) == len(explained_variance) == len(shift) or elbow not in n_archetypes:
        raise ValueError(f"{len(n_archetypes)} numbers, {len(explained_variance)} explained "
                         f"variances, {len(shift)} shifts and the elbow {elbow} do not go together")
    figure = new_figure(9.0, 3.8)
    left, right = figure.subplots(1, 2)
    left.plot(n_archetypes, explained_variance, "o-", color="tab:blue")
    left.plot(n_archetypes[[0, -1]], explained_variance[[0, -1]], "--", color="0.6", linewidth=1.0)
    left.set_ylabel("explained share of the variance")
    left.set_title("Elbow: furthest above the dashed line", fontsize=10)
    if shift.shape[1]:
        low, middle, high = np.quantile(shift, (0.1, 0.5, 0.9), axis=1)
        right.fill_between(n_archetypes, low, high, color="tab:orange", alpha=0.25, linewidth=0,
                           label="10 % to 90 %")
        right.plot(n_archetypes, middle, "o-", color="tab:orange", label="median")
        right.set_ylim(bottom=0.0)
        right.legend(fontsize=8)
    right.set_ylabel("shift, in RMS radii of the data")
    right.set_title(f"Stability: archetypes of {shift.shape[1]} bootstrap samples", fontsize=10)
    for axes in (left, right):
        axes.axvline(elbow, color="black", linewidth=1.0, linestyle=":", label=None)
        axes.set_xlabel(f"number of archetypes (dotted: {elbow})")
        axes.set_xticks(n_archetypes)
        axes.grid(alpha=0.2)
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
