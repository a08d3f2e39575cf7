"""Densities joined into one: weights that make rows they were not fitted to most likely.

Stacking (Smyth & Wolpert 1999, Machine Learning 36; Breiman 1996): p(x) = sum over m of w_m p_m(x).
The joint log-density is nowhere more than -log w_m below that of a member, so that a member that
is right where the others fail protects them.
"""

import numpy as np
from scipy.special import logsumexp

_ROUNDS = 500


def stacking_weights(log_probs: np.ndarray, row_weights: np.ndarray, *, least: float) -> np.ndarray:
    """Weights [M] of members, which sum to one, by expectation maximisation.

    Args:
        log_probs: [M, n] log-densities of rows that the members were not fitted to.
        row_weights: [n] non-negative, how much each row counts.
        least: weight that every member has at least.

    >>> import numpy as np
    >>> sharp, flat = np.full(50, -1.0), np.full(50, -3.0)
    >>> stacking_weights(np.stack([sharp, flat]), np.ones(50), least=0.01).round(2)
    array([0.99, 0.01])
    """
    n_members = len(log_probs)
    log_weights = np.full(n_members, -np.log(n_members))
    for _ in range(_ROUNDS):
        joint = log_probs + log_weights[:, None]
        share = np.exp(joint - logsumexp(joint, axis=0))
        counts = share @ row_weights + 1e-12
        log_weights = np.log(counts / counts.sum())
    weights = np.exp(log_weights)
    # What is at least `least` gives what the others lack.
    return least + (1 - n_members * least) * weights


def only_weight(n_members: int, index: int, *, least: float) -> np.ndarray:
    """Weights [n_members] of which one member has all but the least of the others."""
    return np.where(np.arange(n_members) == index, 1 - (n_members - 1) * least, least)


def log_mixture(log_probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """log sum_m w_m p_m [n] of log-densities [M, n]."""
    return logsumexp(log_probs, axis=0, b=weights[:, None])
