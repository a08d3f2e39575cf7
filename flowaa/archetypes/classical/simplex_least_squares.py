"""Least squares over the simplex: min ½ wᵀG w − tᵀw, subject to w ≥ 0 and Σ w = 1.

Both halves of archetypal analysis are problems of this kind: the weights of the archetypes in a row
(G = Z Zᵀ, t = Z x), and the weights of data rows in an archetype. N problems are solved side by
side, exactly.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

# Of the mean diagonal of G. Smaller eigenvalues are those of columns that depend on each other, and
# are left out of the inverse. A gap that rounding may have made brings no weight into a support.
_LEAST_EIGENVALUE, _LEAST_GAP, _RIDGE = 1e-9, 1e-11, 1e-14
_TINY = np.finfo(float).tiny
_STEPS_PER_WEIGHT = 10
_FEW = 32  # problems whose common supports are not worth finding
_MAX_KEY_BITS = 62  # supports are compared as integers if they fit into one


class Problems(NamedTuple):
    """N problems, of which many may share one matrix."""

    gram: np.ndarray  # [P, K, K] symmetric, positive semi-definite
    owner: np.ndarray  # [N] which matrix each problem has, non-decreasing
    target: np.ndarray  # [N, K]

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """G w − t [N, K]."""
        return self._times_gram(weights) - self.target

    def gaps(self, weights: np.ndarray) -> np.ndarray:
        """Duality gaps [N]: by how much, at most, each objective exceeds its minimum."""
        gradient = self.gradient(weights)
        return np.asarray((weights * gradient).sum(1) - gradient.min(1))

    def some(self, index: np.ndarray) -> "Problems":
        """The problems at `index`, in the same order."""
        return Problems(self.gram, self.owner[index], self.target[index])

    def _times_gram(self, weights: np.ndarray) -> np.ndarray:
        if len(self.gram) == 1:
            return np.asarray(weights @ self.gram[0])
        if len(weights) <= len(self.gram):
            return np.asarray((weights[:, None] @ self.gram[self.owner])[:, 0])
        first = np.searchsorted(self.owner, np.arange(len(self.gram) + 1))
        product = np.empty_like(weights)
        for gram, begin, end in zip(self.gram, first[:-1], first[1:], strict=True):
            product[begin:end] = weights[begin:end] @ gram
        return product


def solve(
    problems: Problems, start: np.ndarray, tolerance: np.ndarray | float = 0.0
) -> np.ndarray:
    """The exact solutions [N, K], by the active-set method of Lawson & Hanson (1974, chapter 23).

    Each step solves the equations of the weights in use (the support). If all come out positive,
    the most promising weight outside joins them; otherwise the step ends where the first weight
    reaches zero, and that one leaves. Problems of equal matrix and support share one factorisation
    (Van Benthem & Keenan 2004, doi:10.1002/cem.889).

    Args:
        problems: the N problems.
        start: [N, K] on the simplex; a good one saves steps.
        tolerance: [P] or one for all; the problems of a matrix end when their duality gaps sum up
            to no more than about this.
    """
    weights, support = start.copy(), start > 0
    entered = np.full(len(weights), -1)
    scale = _mean_diagonal(problems.gram)
    allowed = np.broadcast_to(tolerance, scale.shape)
    n_of_each = np.bincount(problems.owner, minlength=len(scale))
    limit = np.maximum(allowed / np.maximum(n_of_each, 1), _LEAST_GAP * scale)[problems.owner]
    todo = np.arange(len(weights))
    for _ in range(_STEPS_PER_WEIGHT * weights.shape[1]):  # ends before, but for rounding
        current, in_use = problems.some(todo), support[todo]
        found = _solve_on_support(current, in_use, scale)
        outside = in_use & (found <= 0)
        blocked = outside.any(1)
        futile = np.zeros(len(todo), bool)
        if blocked.any():
            before, after, out = weights[todo[blocked]], found[blocked], outside[blocked]
            length = np.where(out, before / np.maximum(before - after, _TINY), 2.0)
            step = np.minimum(length.min(1), 1.0)[:, None]
            leaves = out & (length <= step)
            moved = np.where(leaves, 0.0, np.maximum(before + step * (after - before), 0.0))
            found[blocked] = moved / moved.sum(1, keepdims=True)
            in_use[blocked] &= ~leaves
            # A weight that joins and leaves at once is at its optimum, zero, up to rounding.
            last = leaves[np.arange(len(leaves)), entered[todo[blocked]]]
            futile[blocked] = (step[:, 0] <= 0.0) & last
        weights[todo] = found
        gradient = current.gradient(found)
        level = (found * gradient).sum(1)
        gaps = level - gradient.min(1)
        gradient[in_use] = np.inf
        best = gradient.argmin(1)
        open_ = ~blocked & (level - gradient[np.arange(len(todo)), best] > limit[todo])
        in_use[open_, best[open_]] = True
        support[todo] = in_use
        entered[todo[open_]] = best[open_]
        going = open_ | (blocked & ~futile)
        left = np.bincount(current.owner[going], gaps[going], len(scale))
        todo = todo[going & (left > allowed)[current.owner]]
        if not len(todo):
            break
    return weights


def nearest_to_origin(points: np.ndarray) -> np.ndarray:
    """The mixtures w [N, K] of points [N, K, D] that are nearest to the origin, ‖wᵀP‖ least.

    With any c > 0, w is in proportion to the u ≥ 0 with the least ‖uᵀP‖² + c² (Σ u − 1)²: for
    u = s w the best scale leaves c² p / (c² + p), which grows with p = ‖wᵀP‖².
    """
    n, k, d = points.shape
    if not n:
        return np.empty((0, k))
    scale = np.sqrt(np.maximum(np.square(points).sum((1, 2), keepdims=True) / k, _TINY))
    matrices = np.concatenate([points / scale, np.ones((n, k, 1))], axis=2).swapaxes(1, 2)
    target = np.append(np.zeros(d), 1.0)
    weights = np.stack([nnls(matrix, target)[0] for matrix in matrices])
    return weights / weights.sum(1, keepdims=True)


def _solve_on_support(problems: Problems, support: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The minimisers [N, K] with Σ w = 1 and no bounds, zero outside the support [N, K].

    `scale` [P] is the mean diagonal of each matrix.
    """
    gram, owner, target = problems
    n, k = support.shape
    patterns, pattern_owner, pattern = support, owner, np.arange(n)
    if n > max(len(gram), _FEW) and k + len(gram).bit_length() <= _MAX_KEY_BITS:
        key = support @ (1 << np.arange(k)) + (owner << k)
        _, first, pattern = np.unique(key, return_index=True, return_inverse=True)
        patterns, pattern_owner = support[first], owner[first]
    in_use = patterns.sum(1)
    size = int(in_use.max())
    columns = np.argsort(~patterns, axis=1, kind="stable")[:, :size]
    valid = np.arange(size) < in_use[:, None]
    both = valid[:, :, None] & valid[:, None, :]
    # On the simplex a constant added to G changes nothing, and it makes the equations definite.
    shift = scale[pattern_owner]
    matrix = gram[pattern_owner[:, None, None], columns[:, :, None], columns[:, None, :]]
    matrix = np.where(both, matrix + shift[:, None, None], 0.0)
    matrix[:, np.arange(size), np.arange(size)] += (
        np.where(valid, _RIDGE, 1.0) * shift[:, None])  # `inv` refuses exact zeros
    inverse = np.linalg.inv(matrix)
    poor = np.abs(inverse).max((1, 2)) * shift > 1.0 / _LEAST_EIGENVALUE
    if poor.any():
        inverse[poor] = np.linalg.pinv(matrix[poor], rcond=_LEAST_EIGENVALUE, hermitian=True)
    inverse = np.where(both, inverse, 0.0)
    total = inverse.sum(2)  # G⁻¹ 1; the multiplier of Σ w = 1 is linear in t too
    constant = total / total.sum(1, keepdims=True)
    linear = inverse - total[:, :, None] * constant[:, None, :]
    at = (np.arange(n)[:, None], columns[pattern])
    found = np.zeros((n, k))
    found[at] = (linear[pattern] @ target[at][:, :, None])[:, :, 0] + constant[pattern]
    return found


def _mean_diagonal(gram: np.ndarray) -> np.ndarray:
    """[P], positive."""
    mean = np.einsum("pkk->p", gram) / gram.shape[1]
    return np.asarray(np.maximum(mean, _TINY))
