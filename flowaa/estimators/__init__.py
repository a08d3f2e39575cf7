"""scikit-learn estimators, a file each. Those that need JAX are imported by their files."""

from flowaa.estimators.archetypal_analysis import ArchetypalAnalysis

__all__ = ["ArchetypalAnalysis"]
