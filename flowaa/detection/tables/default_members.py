"""The members of the ensemble by default, and their sizes by the time there is."""

import dataclasses

from flowaa.detection.tables.conditionals import Conditionals
from flowaa.detection.tables.contrast import ContrastiveTrees
from flowaa.detection.tables.ensemble import Weighted
from flowaa.detection.tables.local_planes import LocalPlane
from flowaa.detection.tables.metrics import (
    Direction,
    LeadingComponents,
    RangeScaled,
    Standardised,
    Whitened,
)
from flowaa.detection.tables.neighbours import KernelDensity, NearestNeighbour
from flowaa.detection.tables.normal_scores import GaussianCopula, NormalScores

MOST_ROWS = 8_000  # that distances are measured to
_SECONDS = 60.0  # for which the full sizes are meant
_ROWS_OF_ALL_TREES = 4_000  # with more, trees are fewer


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many rows and trees a fit takes; of n, D and the seconds alone, so that fits repeat."""

    n_rows: int
    n_trees: int
    n_prediction_trees: int


def make_plan(n: int, d: int, max_seconds: float) -> Plan:
    """Full sizes for a minute; fewer rows, then fewer trees, for less time or more rows."""
    share = min(1.0, max_seconds / _SECONDS)
    n_rows = min(n, max(500, int(MOST_ROWS * share**0.5 * min(1.0, (100 / max(d, 1)) ** 0.5))))
    trees = min(1.0, 4 * share, _ROWS_OF_ALL_TREES / n_rows)
    return Plan(n_rows, max(10, int(100 * trees)), max(3, int(15 * trees)))


def default_members(plan: Plan, *, k: int = 1) -> tuple[Weighted, ...]:
    """Neighbours in six metrics, a density, a copula, planes, trees, and predicted features.

    Args:
        plan: sizes.
        k: which neighbour's distance counts: the first where all training rows are inliers; the
            fifth where a few outliers may be left among them.
    """
    rotated = LeadingComponents(share=0.999, above=0)
    return (
        Weighted(NearestNeighbour(RangeScaled(), k=k)),
        Weighted(NearestNeighbour(Standardised(), k=k, norm=1)),
        Weighted(NearestNeighbour(Whitened(0.5), k=k)),
        Weighted(NearestNeighbour(Whitened(1.0), k=k)),
        Weighted(NearestNeighbour(NormalScores(), k=k)),
        Weighted(NearestNeighbour(Direction(), k=k)),
        Weighted(KernelDensity(Whitened(0.5))),
        Weighted(GaussianCopula()),
        Weighted(LocalPlane()),
        Weighted(ContrastiveTrees(n_trees=plan.n_trees)),
        Weighted(ContrastiveTrees(n_trees=plan.n_trees, view=rotated)),
        Weighted(Conditionals(n_trees=plan.n_prediction_trees)),
    )


def members_of_one_unit(plan: Plan, *, k: int = 1) -> tuple[Weighted, ...]:
    """Members for features of one unit, as pixels have: distances mean what they say there.

    Those that give each feature a scale of its own are left out.
    """
    return (
        Weighted(NearestNeighbour(Standardised(), k=k)),
        Weighted(NearestNeighbour(Standardised(), k=k, norm=1)),
        Weighted(NearestNeighbour(Whitened(0.5), k=k)),
        Weighted(NearestNeighbour(Whitened(1.0), k=k)),
        Weighted(KernelDensity(Whitened(0.5))),
        Weighted(LocalPlane()),
        Weighted(ContrastiveTrees(n_trees=plan.n_trees)),
    )


def screening_members(n_outliers: int) -> tuple[Weighted, ...]:
    """What finds so many outliers among the training rows.

    A group of outliers hides its members from the k-th neighbour unless k is larger than it.
    """
    k = max(10, 5 + 3 * n_outliers // 2)
    return (Weighted(NearestNeighbour(Standardised(), k=k)),
            Weighted(NearestNeighbour(Whitened(0.5), k=k)))
