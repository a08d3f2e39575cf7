"""Independent heavy-tailed sources, mixed by a matrix: independent component analysis as a density.

y = (x - mean) W has independent coordinates, each with a Student-t law of its own. Where few
directions carry a table's tails, as they do where its columns are sums of independent shocks, no
elliptical law and no law of the columns by themselves has these tails.
"""

import dataclasses

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from flowaa.flow.tables.student_t import StudentT, fit_degrees

_MOST_ROWS = 20_000  # evenly spread, that the law is fitted to
_SWEEPS = 4  # of the matrix given the tails, and the tails given the matrix
_STEPS = 50  # of a sweep's search
_CONVERGED = 1e-3  # relative change of all degrees of freedom
_WORST_CONDITION = 1e6  # of the unmixing of standardised columns
_MOST_COLUMNS = 128  # beyond, a table rarely has the rows for so many directions


@dataclasses.dataclass(frozen=True)
class IndependentT:
    """Rows whose unmixed coordinates are independent, each with a t law of unit scale.

    Attributes:
        mean: [D].
        unmixing: [D, D] W.
        degrees: [D] of freedom of each coordinate.
    """

    mean: np.ndarray
    unmixing: np.ndarray
    degrees: np.ndarray

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p [n] of rows x [n, D] in nats."""
        with np.errstate(over="ignore"):
            y = (x - self.mean) @ self.unmixing
            log_prob = _log_normaliser(self.degrees) - (self.degrees + 1) / 2 * np.log1p(
                y ** 2 / self.degrees)
        return log_prob.sum(1) + np.linalg.slogdet(self.unmixing)[1]

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n rows [n, D]."""
        y = rng.standard_t(self.degrees, size=(n, len(self.mean)))
        return self.mean + np.linalg.solve(self.unmixing.T, y.T).T


def can_be_unmixed(n: int, d: int) -> bool:
    """Whether n rows of d columns are enough to tell as many directions."""
    return 2 <= d <= _MOST_COLUMNS and n >= 10 * d


def fit_independent_t(x: np.ndarray, elliptical: StudentT, start: IndependentT | None = None
                      ) -> IndependentT:
    """The law of largest likelihood of rows x [n, D] that a search finds.

    Args:
        x: rows.
        elliptical: their t law, in whose shape the first directions are found.
        start: a law of similar rows to search from, or None.
    """
    x = x[np.linspace(0, len(x) - 1, min(len(x), _MOST_ROWS)).astype(int)]
    if start is None:
        start = _first(x, elliptical)
    mean, unmixing, degrees = start.mean, start.unmixing, start.degrees
    for _ in range(_SWEEPS):
        found = _searched(x, mean, unmixing, degrees)
        if not np.linalg.cond(found[1]) < _WORST_CONDITION:
            break  # rows that nearly lie in a plane, as copies do, are ever more likely
        mean, unmixing = found
        y = (x - mean) @ unmixing
        before, degrees = degrees, np.array([_degrees_of(column) for column in y.T])
        if np.abs(degrees / before - 1).max() < _CONVERGED:
            break
    return IndependentT(mean, unmixing, degrees)


def _first(x: np.ndarray, elliptical: StudentT) -> IndependentT:
    """Whitened by the elliptical law, then turned to the axes of a moment that depends on them.

    As FOBI (Cardoso 1989), but rows count by one over their radius: moments of tails are infinite.
    """
    values, vectors = np.linalg.eigh(elliptical.shape)
    white = vectors / np.sqrt(values) @ vectors.T
    y = (x - elliptical.mean) @ white
    radii = np.sqrt(1 + (y ** 2).mean(1))
    fourth = y.T @ (y / radii[:, None]) / len(y)
    _, rotation = np.linalg.eigh(fourth)
    return IndependentT(elliptical.mean, white @ rotation,
                        np.full(len(values), elliptical.degrees))


def _searched(
    x: np.ndarray, mean: np.ndarray, unmixing: np.ndarray, degrees: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and matrix of larger likelihood, in coordinates where the start is the identity."""
    d = len(mean)
    y = (x - mean) @ unmixing

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix, offset = flat[:d * d].reshape(d, d), flat[d * d:]
        sign, log_det = np.linalg.slogdet(matrix)
        z = y @ matrix - offset
        loss = ((degrees + 1) / 2 * np.log1p(z ** 2 / degrees)).sum(1).mean() - log_det
        slope = (degrees + 1) * z / (degrees + z ** 2) / len(y)
        if sign <= 0 or not np.isfinite(loss):
            return 1e300, np.zeros_like(flat)
        by_matrix = y.T @ slope - np.linalg.inv(matrix).T
        return loss, np.concatenate([by_matrix.ravel(), -slope.sum(0)])

    start = np.concatenate([np.eye(d).ravel(), np.zeros(d)])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    total = unmixing @ found[:d * d].reshape(d, d)
    return mean + np.linalg.lstsq(total.T, found[d * d:], rcond=None)[0], total


def _degrees_of(y: np.ndarray) -> float:
    return fit_degrees(lambda nu: float(
        len(y) * _log_normaliser(nu) - (nu + 1) / 2 * np.log1p(y ** 2 / nu).sum()))


def _log_normaliser(degrees: np.ndarray | float) -> np.ndarray | float:
    return gammaln((degrees + 1) / 2) - gammaln(degrees / 2) - 0.5 * np.log(np.pi * degrees)
