"""A matplotlib figure without a window or global state, and what all figures draw on one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOTS_PER_INCH = 150
_MAX_POINTS = 5_000  # of a scatter: more hide one another
_FEW_POINTS = 500  # up to so many are drawn larger


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure, drawn without pyplot: it needs no display and nothing need be closed.

    Its axes are laid out to leave no space unused, also where their aspect is fixed.
    """
    figure = Figure(figsize=(width_inches, height_inches), layout="compressed")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path | str) -> None:
    """Writes a PNG; its folder is made if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH, format="png")


def thinned(points: np.ndarray, max_points: int = _MAX_POINTS) -> np.ndarray:
    """Every k-th row, at most `max_points`: no class is left out, and equal data look equal."""
    return points[:: -(-len(points) // max_points) or 1]


def draw_points(axes: Axes, points: np.ndarray, labels: np.ndarray | None = None,
                class_names: Sequence[str] = ()) -> None:
    """Points [N, 2] in the colours of their classes [N], named for a legend, or in one colour."""
    points = thinned(points)
    size = 6.0 if len(points) > _FEW_POINTS else 14.0
    if labels is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, alpha=0.5, linewidths=0, color="tab:blue")
        return
    labels = thinned(labels)
    for label in np.unique(labels):
        name = class_names[label] if len(class_names) else f"class {label}"
        of_class = points[labels == label]
        axes.scatter(of_class[:, 0], of_class[:, 1], s=size, alpha=0.6, linewidths=0,
                     color=f"C{label % 10}", label=name)


def draw_image(axes: Axes, image: np.ndarray,
               extent: tuple[float, float, float, float] | None = None) -> None:
    """An image [H, W, 1 or 3] from 0 to 1, without ticks or a frame."""
    axes.imshow(np.broadcast_to(image, (*image.shape[:2], 3)), interpolation="nearest",
                extent=extent)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
