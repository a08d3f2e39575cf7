"""What is not finite, in figures for JSON, which has no word for it, and in a state."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from flowaa.errors import warn


def only_finite(figures: Mapping[str, float], where: str) -> dict[str, float]:
    """The figures that are finite, with a warning where others are left out."""
    broken = [name for name, value in figures.items() if not np.isfinite(value)]
    if broken:
        warn(f"{where}: {', '.join(broken)} not finite and left out")
    return {name: value for name, value in figures.items() if name not in broken}


def first_not_finite(tree: Any) -> str | None:
    """The path of the first array that holds what is not finite, or None."""
    return next((jax.tree_util.keystr(path)
                 for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
                 if not np.isfinite(leaf).all()), None)
