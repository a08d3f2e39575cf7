"""Student-t rows: is the radius that one row in a million exceeds found from ten thousand?

`python -m experiments.benchmark heavy_tails --out=FILE.json` draws 10 000 rows in 2, 10 and 50
dimensions: one multivariate t law ("elliptical"), or independent t coordinates, rotated
("rotated"), of nu = 1.5, 2, 3 and infinity degrees of freedom, rotated coordinates of which a
quarter has each nu ("mixed"), and t coordinates of two degrees of freedom under a normal copula of
correlation 0.6 ("copula"), which is the law of no member. On the same rows are fitted
`NormalizingFlow()` as shipped, the same with `tails="gaussian"`, and a generalised Pareto law of
the rows' radii (`PeaksOverThreshold`).

Figures are the common logarithms of each one's level over the true one, of the radius that is
exceeded with probability 1e-6, and the mean log-likelihoods of 10 000 further rows, those of the
true law among them; of `--splits` draws of the rows (errors are root mean squares). A density's
level is that of 16 million of its draws (two with normal tails). The true level of sums of
independent squares is by conditional simulation (Asmussen & Kroese 2006), that of the copula of 16
million draws. `--only=2_1.5_rotated` takes single cases.
"""

import itertools
import warnings
from collections.abc import Callable

import numpy as np
from absl import flags
from scipy import stats
from scipy.optimize import brentq
from scipy.stats import ortho_group

import flowaa
from flowaa.errors import UserError
from flowaa.extremes import PeaksOverThreshold

_DIMS, _DEGREES, _N_ROWS = (2, 10, 50), (1.5, 2.0, 3.0, np.inf), 10_000
_CORRELATION = 0.6  # of the copula
_RARE = 1e-6
_CHUNK = 500_000  # rows drawn at a time
_N_DRAWN = 16_000_000  # of a density: sixteen rows lie beyond the level
_N_DRAWN_LIGHT = 2_000_000  # of one with normal tails, whose levels hardly differ by chance


def run() -> dict[str, float]:
    """Errors and log-likelihoods of every case."""
    figures: dict[str, float] = {}
    worst: dict[str, float] = {}
    n_splits = flags.FLAGS.splits
    squared: dict[str, float] = {}
    for (name, (d, degrees, kind)), seed in itertools.product(_cases().items(), range(n_splits)):
        train, test, true_level, true_score = _drawn(d, degrees, kind, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seconds = flags.FLAGS.max_seconds
            models = {
                "flowaa": flowaa.NormalizingFlow(max_seconds=seconds, random_state=0).fit(train),
                "gaussian_tails": flowaa.NormalizingFlow(
                    tails="gaussian", max_seconds=seconds, random_state=0).fit(train)}
        levels = {"flowaa": _level(models["flowaa"], _N_DRAWN),
                  "gaussian_tails": _level(models["gaussian_tails"], _N_DRAWN_LIGHT)}
        levels["pareto_of_radii"] = float(PeaksOverThreshold().fit(
            np.linalg.norm(train, axis=1)).return_level(1 / _RARE))
        scores = {"true": true_score, **{k: model.score(test) for k, model in models.items()}}
        for method, score in scores.items():
            key = f"{name}/log_prob_{method}"
            figures[key] = figures.get(key, 0.0) + score / n_splits
        errors = {method: float(np.log10(level / true_level)) for method, level in levels.items()}
        for method, error in errors.items():
            key = f"{name}/error_{method}"
            squared[key] = squared.get(key, 0.0) + error**2 / n_splits
            figures[key] = squared[key] ** 0.5
            worst[method] = max(worst.get(method, 0.0), abs(error))
        weights = {k: round(v, 2) for k, v in models["flowaa"].member_weights_.items()}
        print(f"{name:18} level {true_level:9.3g}, log10 of found over true " + ", ".join(
            f"{method} {error:.3f}" for method, error in errors.items()) + "; nats " + ", ".join(
                f"{method} {score:.3f}" for method, score in scores.items()) + f"; {weights}",
            flush=True)
    return figures | {f"worst_error_{method}": value for method, value in worst.items()}


def _cases() -> dict[str, tuple[int, float, str]]:
    """Name → dimensions, degrees of freedom, kind."""
    cases = {f"{d}_{nu:g}_{kind}": (d, nu, kind)
             for d, nu, kind in itertools.product(_DIMS, _DEGREES, ("elliptical", "rotated"))}
    cases |= {f"{d}_mixed": (d, np.nan, "mixed") for d in _DIMS}
    cases |= {f"{d}_copula": (d, 2.0, "copula") for d in _DIMS}
    only = [name for name in flags.FLAGS.only.split(",") if name]
    for name in only:
        if name not in cases:
            raise UserError(f"--only: there is no case {name!r}; there are {', '.join(cases)}")
    return {name: cases[name] for name in only or cases}


def _drawn(
    d: int, degrees: float, kind: str, seed: int
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Rows to fit and to test [10 000, d], the true level, the true law's score of the latter."""
    rng = np.random.default_rng(seed)
    shape = (2 * _N_ROWS, d)
    if kind == "copula":
        x = _under_a_copula(rng, shape[0], d, degrees)
        z = stats.norm.isf(stats.t(degrees).sf(x[_N_ROWS:]))
        law = stats.multivariate_normal(np.zeros(d), _CORRELATION + (1 - _CORRELATION) * np.eye(d))
        score = law.logpdf(z) + (stats.t(degrees).logpdf(x[_N_ROWS:])
                                 - stats.norm.logpdf(z)).sum(1)
        level = _largest_level(lambda: _under_a_copula(rng, _CHUNK, d, degrees), _N_DRAWN)
        return x[:_N_ROWS], x[_N_ROWS:], level, float(score.mean())
    if kind == "elliptical":
        chi = 1.0 if np.isinf(degrees) else np.sqrt(rng.chisquare(degrees, (shape[0], 1)) / degrees)
        x = rng.standard_normal(shape) / chi
        law = (stats.multivariate_normal(np.zeros(d)) if np.isinf(degrees)
               else stats.multivariate_t(np.zeros(d), np.eye(d), degrees))
        squared = (stats.chi2(d).isf(_RARE) if np.isinf(degrees)
                   else d * stats.f(d, degrees).isf(_RARE))
        return x[:_N_ROWS], x[_N_ROWS:], float(np.sqrt(squared)), float(
            law.logpdf(x[_N_ROWS:]).mean())
    nu = np.resize(_DEGREES, d) if kind == "mixed" else np.full(d, degrees)
    laws = [stats.norm() if np.isinf(of_one) else stats.t(of_one) for of_one in nu]
    y = np.stack([law.rvs(shape[0], random_state=rng) for law in laws], 1)
    score = sum(law.logpdf(column[_N_ROWS:]) for law, column in zip(laws, y.T, strict=True))
    x = y @ ortho_group.rvs(d, random_state=0)
    level = (np.sqrt(stats.chi2(d).isf(_RARE)) if np.isinf(nu).all()
             else _level_of_sum(laws, rng))
    return x[:_N_ROWS], x[_N_ROWS:], float(level), float(np.mean(score))


def _level_of_sum(laws: list, rng: np.random.Generator) -> float:
    """The radius of independent coordinates that is exceeded with probability 1e-6."""
    squares = np.stack([law.rvs(20_000, random_state=rng) for law in laws], 1) ** 2
    order = np.sort(squares, axis=1)
    total = squares.sum(1, keepdims=True)
    largest_other = np.where(squares == order[:, -1:], order[:, -2:-1], order[:, -1:])

    def probability(log_radius: float) -> float:
        # The largest square is the one that exceeds the rest and what the rest leaves to be had.
        needed = np.maximum(largest_other, np.exp(2 * log_radius) - (total - squares))
        return float(sum(2 * law.sf(np.sqrt(column)).mean()
                         for law, column in zip(laws, needed.T, strict=True)))

    return float(np.exp(brentq(
        lambda log_radius: np.log(probability(log_radius) / _RARE), 1.0, 16.0, xtol=1e-4)))


def _level(model: flowaa.NormalizingFlow, n: int) -> float:
    """The radius that one draw in a million exceeds, of n draws."""
    model.set_params(random_state=np.random.default_rng(0))
    return _largest_level(lambda: model.sample(_CHUNK), n)


def _under_a_copula(rng: np.random.Generator, n: int, d: int, degrees: float) -> np.ndarray:
    """Rows [n, d] of t coordinates, joined as equally correlated normal ones are."""
    z = np.sqrt(_CORRELATION) * rng.standard_normal((n, 1)) + np.sqrt(
        1 - _CORRELATION) * rng.standard_normal((n, d))
    return stats.t(degrees).isf(stats.norm.sf(z))


def _largest_level(draw: Callable[[], np.ndarray], n: int) -> float:
    """The radius that one row in a million exceeds, of n rows drawn in parts."""
    n_kept = int(4 * _RARE * n)  # over which the levels are smoothed by Weissman's power
    largest = np.zeros(0)
    for _ in range(n // _CHUNK):
        radii = np.linalg.norm(draw(), axis=1)
        largest = np.sort(np.concatenate([largest, radii]))[-n_kept - 1:]
    power = np.log(largest[1:] / largest[0]).mean()
    return float(largest[0] * (n_kept / (_RARE * n)) ** power)
