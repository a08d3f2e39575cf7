"""Reliability diagrams: stated probabilities against observed frequencies."""

from collections.abc import Mapping
from pathlib import Path

from flowaa.detection.calibration import Reliability
from flowaa.figures.canvas import new_figure, save


def save_reliability(path: Path | str, curves: Mapping[str, Reliability]) -> None:
    """Draws a reliability diagram; calibrated probabilities lie on the diagonal."""
    figure = new_figure(4.6, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect")
    for name, curve in curves.items():
        axes.plot(curve.stated, curve.observed, marker="o", markersize=4,
                  label=f"{name} (error {curve.error:.3f})")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="stated probability", ylabel="share that came true")
    axes.set_aspect("equal")
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8, loc="upper left")
    save(figure, path)
