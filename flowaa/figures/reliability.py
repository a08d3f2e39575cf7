"""Reliability diagrams: stated probabilities against observed frequencies."""

from collections.abc import Mapping
from pathlib import Path

from flowaa.detection.calibration import Reliability
from flowaa.figures.canvas import new_figure, save

_BARS = 20  # of the histogram


def save_reliability(path: Path | str, curves: Mapping[str, Reliability]) -> None:
    """Draws a reliability diagram, and below how often each probability is stated.

    Calibrated probabilities lie on the diagonal; each point is of as many examples.
    """
    figure = new_figure(4.6, 5.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect")
    for name, curve in curves.items():
        # Points at 0 and 1 are drawn whole.
        above.plot(curve.stated, curve.observed, marker="o", markersize=4, clip_on=False,
                   zorder=3, label=f"{name} (error {curve.error:.3f})")
        below.hist(curve.probabilities, bins=_BARS, range=(0, 1), histtype="step", linewidth=1.4)
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that came true")
    above.legend(fontsize=8, loc="upper left")
    # Most examples may be at the ends: a logarithmic axis shows the others too.
    below.set(yscale="log", ylim=(0.8, None), xlabel="stated probability", ylabel="examples")
    for axes in (above, below):
        axes.grid(alpha=0.2)
    save(figure, path)
