"""Gaussian mixtures, densities of tables without training."""

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

_COMPONENTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 28, 40)  # that are tried, until more is worse
_MOST_ROWS = 20_000  # evenly spread, that a mixture is fitted to
_LEAST_ROWS = 3  # of a component with diagonal covariance


@dataclasses.dataclass(frozen=True)
class Gaussians:
    """A mixture of G normal laws.

    Attributes:
        weights: [G], which sum to one.
        means: [G, D].
        roots: [G, D, D] lower triangular L with covariance L L^T.
    """

    weights: np.ndarray
    means: np.ndarray
    roots: np.ndarray

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p [n] of rows x [n, D] in nats."""
        parts = []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            white = solve_triangular(root, (x - mean).T, lower=True)
            log_det = np.log(np.diagonal(root)).sum()
            parts.append(np.log(weight) - log_det
                         - 0.5 * ((white ** 2).sum(0) + len(mean) * np.log(2 * np.pi)))
        return logsumexp(parts, axis=0)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """n rows [n, D]."""
        component = rng.choice(len(self.weights), n, p=self.weights)
        noise = rng.standard_normal((n, self.means.shape[1]))
        return self.means[component] + np.einsum("nij,nj->ni", self.roots[component], noise)


@dataclasses.dataclass(frozen=True)
class Choice:
    """How many components, and of which form, a Gaussian mixture has."""

    n_components: int
    is_full: bool  # whole covariances, else diagonal ones


_ONE = Choice(1, is_full=True)  # computed from differences, so that it always has its digits


def choose_gaussians(
    x: np.ndarray, seed: int, is_time_up: Callable[[], bool] = lambda: False
) -> Choice:
    """The choice of least BIC (Schwarz 1978) among 1 to 40 components of both forms.

    A mixture with more parameters than the rows have numbers is not tried, nor any more once the
    time is up. Of rows so far apart that a variance loses its digits, no more than one normal law
    may be left.
    """
    x = _thinned(x)
    n, d = x.shape
    scored = []
    for is_full in (True, False):
        for n_components in _COMPONENTS:
            n_parameters = n_components * (d * d / 2 if is_full else d)
            if n_components > 1 and (n_parameters > n * d or is_time_up()):
                break
            try:
                fitted = _fit(x, Choice(n_components, is_full), seed)
            except ValueError:  # a covariance has lost its digits; more components would as well
                break
            scored.append((fitted.bic(x), Choice(n_components, is_full)))
            least = min(bic for bic, _ in scored)
            if n_components > 3 and min(bic for bic, _ in scored[-2:]) > least:
                break  # two in a row that are worse
    return min(scored, key=lambda pair: pair[0])[1] if scored else _ONE


def fit_gaussians(x: np.ndarray, choice: Choice, seed: int) -> Gaussians:
    """The mixture of that choice, by expectation maximisation, of rows x [n, D]."""
    x = _thinned(x)
    try:
        fitted = _fit(x, choice, seed)
    except ValueError:  # some components' variances have lost their digits
        choice = _ONE
        fitted = _fit(x, choice, seed)
    # A component of fewer rows than its covariance needs sits on them: an outlier among the rows
    # would be as likely as any.
    least = x.shape[1] + 1 if choice.is_full else _LEAST_ROWS
    is_held = (fitted.weights_ * len(x) >= least) | (choice.n_components == 1)
    if not is_held.any():
        choice = _ONE
        fitted, is_held = _fit(x, choice, seed), np.ones(1, bool)
    weights, covariances = fitted.weights_[is_held], fitted.covariances_[is_held]
    if not choice.is_full:
        covariances = np.stack([np.diag(variances) for variances in covariances])
    return Gaussians(weights / weights.sum(), fitted.means_[is_held],
                     np.linalg.cholesky(covariances))


def _fit(x: np.ndarray, choice: Choice, seed: int) -> GaussianMixture:
    form = "full" if choice.is_full else "diag"
    with warnings.catch_warnings():  # one that has not converged is a density as well
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(min(choice.n_components, len(x)), covariance_type=form,
                               random_state=seed).fit(x)


def _thinned(x: np.ndarray) -> np.ndarray:
    return x[np.linspace(0, len(x) - 1, min(len(x), _MOST_ROWS)).astype(int)]
