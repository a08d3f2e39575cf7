"""A matplotlib figure apart from any window or global state, and how it is written."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOTS_PER_INCH = 150


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
