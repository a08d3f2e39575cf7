"""The members of `NormalizingFlow`'s density that are no flows."""

from collections.abc import Sequence

import numpy as np

from flowaa.flow.tables.gaussian_mixture import Choice, Gaussians, fit_gaussians
from flowaa.flow.tables.independent_t import IndependentT, can_be_unmixed, fit_independent_t
from flowaa.flow.tables.stacking import log_mixture, only_weight
from flowaa.flow.tables.student_t import StudentT, fit_student_t

Law = Gaussians | StudentT | IndependentT
NAMES: dict[type[Law], str] = {
    Gaussians: "gaussian_mixture", StudentT: "student_t", IndependentT: "independent_t"}

_HARDLY_LESS = 0.003  # nats a row, for which a law is left alone with its tail
_HEAVY_DEGREES = 20.0  # of freedom of the elliptical law, from which no direction is heavy


def fit_laws(
    x: np.ndarray, choice: Choice, seed: int, *, has_powers: bool,
    of_first_fold: Sequence[Law] | None, held_out: np.ndarray,
) -> tuple[Law, ...]:
    """The laws of rows x [n, D].

    That of independent sources is one of them if, fitted to all rows but the first fold, it makes
    that fold more likely than the elliptical law does.

    Args:
        x: rows, of which no column is constant.
        choice: of the Gaussian mixture.
        seed: of the mixture's starts.
        has_powers: whether tails may fall as a power; else the mixture is alone.
        of_first_fold: the laws without the first fold, None if these are they.
        held_out: [m, D] the first fold.
    """
    gaussians = fit_gaussians(x, choice, seed)
    if not has_powers:
        return (gaussians,)
    elliptical = fit_student_t(x)
    if of_first_fold is not None:
        known = [law for law in of_first_fold if isinstance(law, IndependentT)]
        unmixed = [fit_independent_t(x, elliptical, law) for law in known]
    elif elliptical.degrees < _HEAVY_DEGREES and can_be_unmixed(*x.shape):
        unmixed = [fit_independent_t(x, elliptical)]
        if unmixed[0].log_prob(held_out).mean() <= elliptical.log_prob(held_out).mean():
            unmixed = []
    else:
        unmixed = []
    return gaussians, elliptical, *unmixed


def with_whole_tail(
    weights: np.ndarray, log_probs: np.ndarray, row_weights: np.ndarray, laws: Sequence[Law],
    *, least: float,
) -> np.ndarray:
    """Weights [M], all given to a heavy-tailed law whose company does not help held-out rows.

    Members alike where rows are share the weight by chance, and far out, where one alone has a
    tail, the density would be that share of it.

    Args:
        weights: [M] of flows, then laws.
        log_probs: [M, n] of rows held out.
        row_weights: [n] how much each counts.
        laws: the last members.
        least: weight that every member has at least.
    """
    def score(of_members: np.ndarray) -> float:
        return float(np.average(log_mixture(log_probs, of_members), weights=row_weights))

    n_flows = len(weights) - len(laws)
    alone = [only_weight(len(weights), n_flows + index, least=least)
             for index, law in enumerate(laws) if not isinstance(law, Gaussians)]
    best = max(alone, key=score, default=weights)
    return best if score(best) > score(weights) - _HARDLY_LESS else weights
