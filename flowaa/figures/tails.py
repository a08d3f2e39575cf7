"""Return levels of a fitted tail, with its intervals and the data."""

from typing import Any, Protocol

from matplotlib.figure import Figure


class Fitted(Protocol):
    """A fit of `flowaa.extremes`: `PeaksOverThreshold` or `BlockMaxima`."""

    def plot(self, axes: Any) -> None:
        """Draws on matplotlib axes."""


def draw_return_levels(fit: Fitted) -> Figure:
    """A figure of the fit's return levels against return periods."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    fit.plot(axes)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
