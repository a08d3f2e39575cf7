"""scikit-learn estimators, a file each."""

from flowaa.estimators.archetypal_analysis import ArchetypalAnalysis
from flowaa.estimators.normalizing_flow import NormalizingFlow

__all__ = ["ArchetypalAnalysis", "NormalizingFlow"]
