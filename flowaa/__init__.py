"""flowaa: learn what is extreme in a data set.

Names of the public surface are imported when they are first asked for, so that `import flowaa` and
`--help` stay quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and the documentation
    from flowaa.estimators import ArchetypalAnalysis
    from flowaa.estimators.normalizing_flow import NormalizingFlow
    from flowaa.estimators.outlier_detector import OutlierDetector
    from flowaa.run import Run, load_run
    from flowaa.run.train import train

__version__ = "0.1.0"

_PUBLIC = {  # name -> the module that defines it
    "ArchetypalAnalysis": "flowaa.estimators",
    "NormalizingFlow": "flowaa.estimators.normalizing_flow",
    "Detector": "flowaa.run.detector",
    "OutlierDetector": "flowaa.estimators.outlier_detector",
    "Run": "flowaa.run",
    "load_detector": "flowaa.run.detector",
    "load_run": "flowaa.run",
    "train": "flowaa.run.train",
}
_SUBPACKAGES = {"archetypes", "bijectors", "configs", "extremes"}

__all__ = ["ArchetypalAnalysis", "Detector", "NormalizingFlow", "OutlierDetector", "Run",
           "__version__", "archetypes", "bijectors", "configs", "extremes", "load_detector",
           "load_run", "train"]


def __getattr__(name: str) -> Any:
    """Imports a public name's module, or a subpackage, on first use (PEP 562)."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"flowaa.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'flowaa' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
