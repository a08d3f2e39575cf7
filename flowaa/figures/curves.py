"""Scalars of a run over its training steps, e.g. the loss on training and validation data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from flowaa.figures.canvas import new_figure, save

_WARM_UP = 0.1  # share of the steps whose values do not set the axis: losses fall by orders there
_HEADROOM = 0.08


def save_curves(path: Path | str, rows: Sequence[Mapping[str, float]], *,
                names: Sequence[str], unit: str, lowest_of: str = "", title: str = "") -> None:
    """Draws named scalars of `metrics.jsonl` over the training step.

    Args:
        path: the PNG to write.
        rows: of each log step, its `step` and any scalars; a scalar may be missing from rows.
        names: the scalars to draw, e.g. `train/bits_per_dim` and `validation/bits_per_dim`; those
            that no row has are left out.
        unit: what the vertical axis shows, with its unit, e.g. `bits/dim`.
        lowest_of: the scalar whose smallest value is marked, e.g. the one that chooses the model.
        title: a line above.

    Raises:
        ValueError: if no row has any of the scalars.
    """
    curves = {name: np.array([(row["step"], row[name]) for row in rows
                              if row.get(name) is not None], float)
              for name in names}
    curves = {name: curve[np.isfinite(curve[:, 1])] for name, curve in curves.items() if len(curve)}
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    if not curves:
        raise ValueError(f"no row has a finite value of {', '.join(names)}")

    figure = new_figure(7.0, 4.2)
    axes = figure.add_subplot()
    for index, (name, curve) in enumerate(curves.items()):
        # Curves of few points, such as a validation's, show where they were measured.
        marker = "o" if len(curve) <= 50 else None
        axes.plot(curve[:, 0], curve[:, 1], color=f"C{index}", marker=marker, markersize=3,
                  linewidth=1.4, label=name)
    if lowest_of in curves:
        step, value = min(curves[lowest_of], key=lambda point: point[1])
        axes.plot(step, value, "*", color="black", markersize=10,
                  label=f"lowest {lowest_of}: {value:.4g} at step {step:.0f}")
    low, high, n_above = _vertical_range(list(curves.values()))
    above = f" ({n_above} early values lie above the axes)" if n_above else ""
    axes.set(xlabel=f"training step{above}", ylabel=unit, ylim=(low, high))
    axes.grid(alpha=0.3)
    # Outside the axes, since a curve may be anywhere within.
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    if title:
        axes.set_title(title, fontsize=11)
    save(figure, path)


def _vertical_range(curves: Sequence[np.ndarray]) -> tuple[float, float, int]:
    """Limits of the vertical axis, set by the values after warm-up, and how many lie above."""
    points = np.concatenate(curves)
    settled = points[points[:, 0] >= _WARM_UP * points[:, 0].max(), 1]
    low, high = points[:, 1].min(), settled.max()
    margin = _HEADROOM * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin, int((points[:, 1] > high + margin).sum())
