"""Archetypal analysis: a data set as mixtures of a few extreme points."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and the documentation
    from flowaa.archetypes.classical.archetypoids import Archetypoids, find_archetypoids
    from flowaa.archetypes.classical.selection import Selection, choose_n_archetypes

_PUBLIC = {  # name -> the module that defines it, imported when first asked for
    "Archetypoids": "flowaa.archetypes.classical.archetypoids",
    "Selection": "flowaa.archetypes.classical.selection",
    "choose_n_archetypes": "flowaa.archetypes.classical.selection",
    "find_archetypoids": "flowaa.archetypes.classical.archetypoids",
}

__all__ = ["Archetypoids", "Selection", "choose_n_archetypes", "find_archetypoids"]


def __getattr__(name: str) -> Any:
    """Imports a public name's module on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'flowaa.archetypes' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
