"""Members' evidence put together: the root mean square of their −log tail probabilities."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from flowaa.detection.tables.members import FittedMember, Member
from flowaa.detection.tables.tail_probability import fit_tail_probability


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A member and the share of its evidence."""

    member: Member
    weight: float = 1.0


def fit_ensemble(
    members: Sequence[Weighted], x: np.ndarray, random: np.random.Generator
) -> FittedMember:
    """Fits all members to standardised rows x [n, D], and puts −log tail probabilities together.

    Their root mean square lies between their mean, in which a member that sees an outlier is
    outvoted by those that cannot, and their maximum, which the worst member's mistakes decide.
    The weights are the same for every table: weights chosen by how well members tell inliers from
    rows made of them favour members trained on rows of that kind.
    """
    with threadpool_limits(1, "blas"):  # many small problems, on which threads wait for each other
        fitted = [entry.member.fit(x, random) for entry in members]
    tails = [fit_tail_probability(member.own) for member in fitted]
    weights = np.array([entry.weight for entry in members])
    weights = weights / weights.sum()

    def combine(scores: Sequence[np.ndarray]) -> np.ndarray:
        evidence = np.stack([tail.minus_log(score)
                             for tail, score in zip(tails, scores, strict=True)])
        return np.sqrt(weights @ evidence**2)

    return FittedMember(combine([member.own for member in fitted]),
                        lambda rows: combine([member.score(rows) for member in fitted]))
