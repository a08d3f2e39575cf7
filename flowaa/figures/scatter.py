"""Two-dimensional points: data beside a model's samples, on the same axes."""

from pathlib import Path

import numpy as np

from flowaa.figures.canvas import draw_points, new_figure, save

_MARGIN = 0.15  # of the data's range, on each side
_PANEL_INCHES = 4.0  # width


def save_scatter(path: Path | str, data: np.ndarray, samples: np.ndarray, *,
                 data_labels: np.ndarray | None = None, sample_labels: np.ndarray | None = None,
                 title: str = "") -> None:
    """Draws data on the left and samples on the right; the axes are the data's.

    Args:
        path: the PNG to write.
        data: [N, 2].
        samples: [M, 2]; those that lie outside the axes or are not finite are counted in the
            panel's title.
        data_labels: [N] classes, which give the colours; None for one colour.
        sample_labels: [M] likewise.
        title: a line above both panels.

    Raises:
        ValueError: if the points have another shape.
    """
    for points in (data, samples):
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise ValueError(f"points have shape {points.shape}, not [N ≥ 1, 2]")
    low, high = data.min(0), data.max(0)
    margin = np.maximum(_MARGIN * (high - low), 1e-6)
    low, high = low - margin, high + margin

    aspect = (high[1] - low[1]) / (high[0] - low[0])
    figure = new_figure(9.0, float(np.clip(_PANEL_INCHES * aspect, 2.0, 8.0)) + 1.2)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    draw_points(panels[0], data, data_labels)
    panels[0].set_title(f"data ({len(data)} points)", fontsize=10)
    inside = ((samples >= low) & (samples <= high)).all(1)
    n_outside = int((~inside).sum())
    draw_points(panels[1], samples[inside],
                None if sample_labels is None else sample_labels[inside])
    panels[1].set_title(f"samples ({len(samples)} points"
                        + (f", {n_outside} outside the axes)" if n_outside else ")"), fontsize=10)
    for panel in panels:
        panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="$x_1$ (data units)")
        panel.set_aspect("equal", adjustable="box")
        panel.grid(alpha=0.2)
        if 1 < len(panel.get_legend_handles_labels()[0]) <= 10:
            panel.legend(fontsize=8, markerscale=2.0, loc="best")
    panels[0].set_ylabel("$x_2$ (data units)")
    if title:
        figure.suptitle(title, fontsize=11)
    save(figure, path)
