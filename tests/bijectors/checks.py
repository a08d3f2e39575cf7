"""The contract's laws (`flowaa.bijectors.contract`) on the cases of the table."""

from flowaa.bijectors import contract, subject
from flowaa.bijectors.subject import random_params
from tests.bijectors.cases import CONDITIONS, Case

__all__ = ["CHECKS", "make_subject", "random_params"]

CHECKS = contract.LAWS


def make_subject(case: Case, dtype: str) -> subject.Subject:
    """The case's bijector, random normal parameters and inputs."""
    return subject.make_subject(
        case.make(), case.shape, dtype, condition_width=CONDITIONS[case.condition],
        dropout=case.dropout, memories=case.memories)
