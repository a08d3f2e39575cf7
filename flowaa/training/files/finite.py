"""Figures for JSON, which has no word for infinity and NaN."""

from collections.abc import Mapping

import numpy as np

from flowaa.errors import warn


def only_finite(figures: Mapping[str, float], where: str) -> dict[str, float]:
    """The figures that are finite, with a warning where others are left out."""
    broken = [name for name, value in figures.items() if not np.isfinite(value)]
    if broken:
        warn(f"{where}: {', '.join(broken)} not finite and left out")
    return {name: value for name, value in figures.items() if name not in broken}
