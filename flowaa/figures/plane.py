"""Functions of the plane as pictures: detectors, densities, and a flow's map of a grid."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from flowaa.figures.canvas import new_figure, save

_SIDE = 200  # points along each axis
_LINES = 25  # of a grid that is mapped
_LINE_POINTS = 200
_NATS_SHOWN = 12.0  # below the peak of a density


@dataclasses.dataclass(frozen=True)
class Plane:
    """A rectangle of the plane."""

    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def around(cls, points: np.ndarray, *, margin: float = 0.05) -> "Plane":
        """The rectangle that holds nearly all points [N, 2], and a margin of its sides."""
        finite = points[np.isfinite(points).all(1)]
        low, high = np.percentile(finite, [1, 99], axis=0)
        space = margin * np.maximum(high - low, 1e-6)
        return cls(tuple(low - space), tuple(high + space))

    def within(self, other: "Plane") -> "Plane":
        """What both rectangles hold."""
        return Plane(tuple(np.maximum(self.low, other.low)),
                     tuple(np.minimum(self.high, other.high)))

    def n_outside(self, points: np.ndarray) -> int:
        """How many of points [N, 2] lie outside, or are not finite."""
        return int((~((points >= self.low) & (points <= self.high)).all(1)).sum())

    def points(self) -> np.ndarray:
        """A grid of points [N, 2] float32, row by row from below."""
        x, y = np.meshgrid(*self._axes())
        return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)

    def contours(self, axes: Axes, values: np.ndarray, level: float) -> None:
        """A dashed line where values [N] of `points` are at a level."""
        axes.contour(*self._axes(), values.reshape(_SIDE, _SIDE), levels=[level], colors="black",
                     linestyles="--", linewidths=1)

    def image(self, axes: Axes, values: np.ndarray, *, limits: tuple[float, float],
              colours: str) -> None:
        """Values [N] of `points` as colours, with a colour bar."""
        shown = axes.imshow(
            values.reshape(_SIDE, _SIDE), origin="lower", cmap=colours, vmin=limits[0],
            vmax=limits[1], extent=(self.low[0], self.high[0], self.low[1], self.high[1]))
        axes.figure.colorbar(shown, ax=axes, shrink=0.8)
        axes.set(xlim=(self.low[0], self.high[0]), ylim=(self.low[1], self.high[1]),
                 xlabel="$x_1$ (data units)", ylabel="$x_2$ (data units)")

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        return (np.linspace(self.low[0], self.high[0], _SIDE),
                np.linspace(self.low[1], self.high[1], _SIDE))


def save_detector(
    path: Path | str, plane: Plane, panels: Mapping[str, np.ndarray], *, data: np.ndarray,
    outliers: np.ndarray, truth: np.ndarray | None, truth_level: float | None,
) -> None:
    """Draws a detector's output over the plane, with data and the outliers it learned from.

    Args:
        path: the PNG to write.
        plane: where.
        panels: title and values [N] at `plane.points()`: log-odds (around 0) or probabilities.
        data: [M, 2] inliers.
        outliers: [M, 2]; those outside the plane are counted in the line above.
        truth: [N] the true log density, or None.
        truth_level: the log density whose contour is the ideal detector's boundary.
    """
    aspect = (plane.high[1] - plane.low[1]) / (plane.high[0] - plane.low[0])
    figure = new_figure(5.0 * (len(panels) + 1), float(np.clip(4.0 * aspect, 1.5, 6.0)) + 1.2)
    axes = figure.subplots(1, len(panels) + 1)
    has_even_odds = False
    for panel, (title, values) in zip(axes, panels.items(), strict=False):
        is_probability = values.min() >= 0 and values.max() <= 1
        plane.image(panel, values, limits=(0, 1) if is_probability else (-8, 8),
                    colours="viridis" if is_probability else "RdBu_r")
        panel.scatter(*data[:300].T, s=3, color="black", linewidths=0, alpha=0.5)
        if values.min() < 0 < values.max() and not is_probability:
            has_even_odds = True
            panel.contour(*plane._axes(), values.reshape(_SIDE, _SIDE), levels=[0],
                          colors="tab:green", linewidths=1.2)
        if truth is not None and truth_level is not None:
            plane.contours(panel, truth, truth_level)
        panel.set_title(title, fontsize=10)
    axes[-1].scatter(*outliers.T, s=4, color="tab:red", linewidths=0, alpha=0.6)
    axes[-1].scatter(*data.T, s=4, color="black", linewidths=0, alpha=0.6)
    axes[-1].set(xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim(), xlabel="$x_1$ (data units)")
    axes[-1].set_aspect("equal")
    axes[-1].set_title("inliers (black) and the outliers it learned from (red)", fontsize=10)
    notes = ["green: even odds"] if has_even_odds else []
    if truth is not None:
        notes.append("dashed: the true density's region of 99 % of the data")
    counts = [f"{count} of {len(points)} {name}" for name, points in (
        ("inliers", data), ("outliers", outliers)) if (count := plane.n_outside(points))]
    if counts:
        notes.append(f"outside the axes: {' and '.join(counts)}")
    figure.suptitle("; ".join(notes), fontsize=10)
    save(figure, path)


def save_density(
    path: Path | str, plane: Plane, log_prob: np.ndarray, *, truth: np.ndarray | None,
    data: np.ndarray,
) -> None:
    """Draws the flow's log density [N] at `plane.points()`, beside the true one if it is known."""
    shown = {"the flow's log density, nats": log_prob}
    if truth is not None:
        shown["the true log density, nats"] = truth
    figure = new_figure(5.2 * len(shown), 4.4)
    peak = float(np.max(log_prob if truth is None else truth))
    for axes, (title, values) in zip(figure.subplots(1, len(shown), squeeze=False)[0],
                                     shown.items(), strict=True):
        plane.image(axes, values, limits=(peak - _NATS_SHOWN, peak), colours="magma")
        axes.scatter(*data[:300].T, s=2, color="white", linewidths=0, alpha=0.4)
        axes.set_title(title, fontsize=10)
    save(figure, path)


def save_grid_map(
    path: Path | str, *, plane: Plane, encode: Callable[[np.ndarray], np.ndarray],
    decode: Callable[[np.ndarray], np.ndarray], data: np.ndarray,
) -> None:
    """Draws a grid of data in latent space, and a grid of latents in data space.

    Args:
        path: the PNG to write.
        plane: where the grid of data lies.
        encode: data [N, 2] to latents [N, 2].
        decode: the way back.
        data: [M, 2], shown on both sides.
    """
    sides = np.subtract(plane.high, plane.low)
    aspect = float(np.clip(sides[1] / sides[0], 0.5, 2.0))
    figure = new_figure(4.8 * (1 + 1 / max(aspect, 1)), 4.8 * (1 + min(aspect, 1.0)))
    axes = figure.subplots(2, 2)
    latents = encode(data)
    square = Plane((-3.0, -3.0), (3.0, 3.0))
    ways = ((axes[0], plane, encode, data, latents, "data", "latent"),
            (axes[1], square, decode, latents, data, "latent", "data"))
    for (left, right), where, mapping, source, image, here, there in ways:
        for line, colour in _lines(where):
            left.plot(*line.T, color=colour, linewidth=0.6)
            right.plot(*mapping(line.astype(np.float32)).T, color=colour, linewidth=0.6)
        left.scatter(*source.T, s=3, color="black", linewidths=0, alpha=0.6)
        right.scatter(*image.T, s=3, color="black", linewidths=0, alpha=0.6)
        left.set_title(f"a grid in {here} space …", fontsize=10)
        right.set_title(f"… and where the flow puts it in {there} space", fontsize=10)
        for panel, space in ((left, here), (right, there)):
            name, unit = ("x", "data units") if space == "data" else ("z", "deviations")
            panel.set(xlabel=f"${name}_1$ ({unit})", ylabel=f"${name}_2$ ({unit})")
    for panel, where in zip(axes.ravel(), (plane, Plane((-5, -5), (5, 5)), square, plane),
                            strict=True):
        panel.set(xlim=(where.low[0], where.high[0]), ylim=(where.low[1], where.high[1]))
        panel.set_aspect("equal")
    save(figure, path)


def _lines(plane: Plane) -> list[tuple[np.ndarray, str]]:
    """Lines [N, 2] of a grid, and a colour for each direction."""
    lines = []
    for axis, colour in ((0, "tab:blue"), (1, "tab:orange")):
        along = np.linspace(plane.low[1 - axis], plane.high[1 - axis], _LINE_POINTS)
        for place in np.linspace(plane.low[axis], plane.high[axis], _LINES):
            columns = [np.full(_LINE_POINTS, place), along]
            lines.append((np.stack(columns if axis == 0 else columns[::-1], 1), colour))
    return lines
