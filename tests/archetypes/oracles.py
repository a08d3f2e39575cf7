"""Slow, exact reference solutions in float64, which share no code with the library."""

import itertools

import numpy as np
from scipy.optimize import nnls

_SUM_PENALTY = 1e4  # of weights that do not sum to one, beside data of unit scale


def best_weights(x: np.ndarray, archetypes: np.ndarray) -> np.ndarray:
    """Weights [n, K] on the simplex with the least squares, by trying every face of the hull.

    On each face, the optimum without the bounds is linear; of those that respect the bounds, the
    one with the smallest residual is the optimum.
    """
    n, k = len(x), len(archetypes)
    best, weights = np.full(n, np.inf), np.zeros((n, k))
    for size in range(1, k + 1):
        for face in map(list, itertools.combinations(range(k), size)):
            base, edges = archetypes[face[0]], archetypes[face[1:]] - archetypes[face[0]]
            inner = (x - base) @ np.linalg.pinv(edges) if size > 1 else np.zeros((n, 0))
            on_face = np.concatenate([1.0 - inner.sum(1, keepdims=True), inner], axis=1)
            squared = ((x - on_face @ archetypes[face]) ** 2).sum(1)
            better = (on_face >= 0.0).all(1) & (squared < best)
            best[better] = squared[better]
            weights[better] = 0.0
            weights[np.ix_(better, face)] = on_face[better]
    return weights


def best_data_weights(x: np.ndarray, weights: np.ndarray, points: np.ndarray | None = None
                      ) -> np.ndarray:
    """B [K, m] on simplices that minimises ‖X − A B P‖² for A [n, K], as one NNLS problem.

    The points P [m, D] are the rows themselves if there are no others.
    """
    points = x if points is None else points
    n, k = len(points), weights.shape[1]
    sums = np.kron(np.eye(k), np.ones(n))
    design = np.concatenate([np.kron(weights, points.T), _SUM_PENALTY * sums])
    target = np.concatenate([x.ravel(), np.full(k, _SUM_PENALTY)])
    solution = nnls(design, target, maxiter=100 * k * n)[0].reshape(k, n)
    return solution / solution.sum(1, keepdims=True)


def rss(x: np.ndarray, archetypes: np.ndarray) -> float:
    """Residual sum of squares with the best weights."""
    return float(((x - best_weights(x, archetypes) @ archetypes) ** 2).sum())


def archetypal_analysis(x: np.ndarray, k: int, *, n_starts: int, n_rounds: int,
                        delta: float = 0.0) -> float:
    """The least RSS that plain alternation finds from random rows (Cutler & Breiman 1994).

    With `delta`, shares of archetypes in centred rows sum up to 1 − delta … 1 + delta (Mørup &
    Hansen 2012): mixtures of the rows shrunk and enlarged by as much.
    """
    rng = np.random.default_rng(0)
    found = []
    x = x - x.mean(0)
    points = np.concatenate([(1.0 - delta) * x, (1.0 + delta) * x]) if delta else x
    for _ in range(n_starts):
        archetypes = x[rng.choice(len(x), k, replace=False)]
        for _ in range(n_rounds):
            weights = best_weights(x, archetypes)
            archetypes = best_data_weights(x, weights, points) @ points
        found.append(rss(x, archetypes))
    return min(found)


def distance_from_hull(points: np.ndarray, x: np.ndarray) -> float:
    """The largest distance of any of the points [K, D] from the hull of the rows [n, D]."""
    design = np.concatenate([x.T, np.full((1, len(x)), _SUM_PENALTY)])
    distances = []
    for point in points:
        share = nnls(design, np.append(point, _SUM_PENALTY), maxiter=100 * len(x))[0]
        distances.append(np.linalg.norm(point - share / share.sum() @ x))
    return max(distances)
