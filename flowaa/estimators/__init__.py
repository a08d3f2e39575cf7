"""scikit-learn estimators, a file each."""

from flowaa.estimators.archetypal_analysis import ArchetypalAnalysis

__all__ = ["ArchetypalAnalysis"]
