"""A multivariate t law, whose degrees of freedom say how heavy the tails of rows are."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import multivariate_t
from sklearn.covariance import LedoitWolf

LEAST_DEGREES, MOST_DEGREES = 0.1, 500.0  # of freedom: beyond the second it is a normal law
_MOST_ROWS = 20_000  # evenly spread, that the law is fitted to
_MOST_ROUNDS = 60
_CONVERGED = 1e-5  # nats a row that a round gains
_LEAST_VARIANCE = 1e-9  # of any direction, as a share of the mean one


@dataclasses.dataclass(frozen=True)
class StudentT:
    """A multivariate t law.

    Attributes:
        mean: [D].
        shape: [D, D].
        degrees: of freedom; the radius has a tail of index 1 / degrees.
    """

    mean: np.ndarray
    shape: np.ndarray
    degrees: float

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p [n] of rows x [n, D] in nats."""
        root = np.linalg.cholesky(self.shape)
        distances = _distances(x, self.mean, root)
        return _log_prob(distances, len(self.mean), self.degrees) - np.log(np.diag(root)).sum()

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n rows [n, D]."""
        rows = multivariate_t.rvs(self.mean, self.shape, self.degrees, n, random_state=rng)
        return np.reshape(rows, (n, len(self.mean)))


def fit_student_t(x: np.ndarray) -> StudentT:
    """The law of rows x [n, D], by expectation and conditional maximisation (Liu & Rubin 1995).

    The weighted scatter is shrunk (Ledoit & Wolf 2004), and the degrees of freedom have the prior
    of Juárez & Steel (2010), Gamma(2, 0.1): few rows hardly tell them.
    """
    x = x[np.linspace(0, len(x) - 1, min(len(x), _MOST_ROWS)).astype(int)]
    d = x.shape[1]
    mean, root, degrees = np.median(x, axis=0), np.diag(_spreads(x)), 4.0
    before = -np.inf
    for _ in range(_MOST_ROUNDS):
        distances = _distances(x, mean, root)
        degrees = fit_degrees(functools.partial(_log_likelihood, distances, d))
        score = _log_prob(distances, d, degrees).mean() - np.log(np.diag(root)).sum()
        if score - before < _CONVERGED:
            break
        before = score
        weight = (degrees + d) / (degrees + distances)
        mean = weight @ x / weight.sum()
        # Weights divided by their mean: the parameter-expanded step, which needs fewer rounds.
        rows = np.sqrt(weight / weight.mean())[:, None] * (x - mean)
        shape = LedoitWolf(assume_centered=True).fit(rows).covariance_
        shape = shape + _LEAST_VARIANCE * np.trace(shape) / d * np.eye(d)
        root = np.linalg.cholesky(shape)
    return StudentT(mean, root @ root.T, degrees)


def fit_degrees(log_likelihood: Callable[[float], float]) -> float:
    """Degrees of freedom of largest posterior density, given the log-likelihood of all rows."""
    found = minimize_scalar(
        lambda log_nu: -log_likelihood(np.exp(log_nu)) - log_nu + 0.1 * np.exp(log_nu),
        bounds=(np.log(LEAST_DEGREES), np.log(MOST_DEGREES)), method="bounded",
        options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _spreads(x: np.ndarray) -> np.ndarray:
    """Standard deviations [D] that a normal law would have, by the quartiles."""
    spread = np.subtract(*np.quantile(x, [0.75, 0.25], axis=0)) / 1.349
    return np.where(spread > 0, spread, x.std(0))


def _distances(x: np.ndarray, mean: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances [n]."""
    with np.errstate(over="ignore"):
        return (solve_triangular(root, (x - mean).T, lower=True) ** 2).sum(0)


def _log_likelihood(distances: np.ndarray, d: int, degrees: float) -> float:
    return float(_log_prob(distances, d, degrees).sum())


def _log_prob(distances: np.ndarray, d: int, degrees: float) -> np.ndarray:
    """log p [n] of squared distances, the shape's determinant left out."""
    return (gammaln((degrees + d) / 2) - gammaln(degrees / 2)
            - d / 2 * np.log(np.pi * degrees)
            - (degrees + d) / 2 * np.log1p(distances / degrees))
