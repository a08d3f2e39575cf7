"""Student-t rows: is the radius that one row in a million exceeds found from ten thousand?

`python -m experiments.benchmark heavy_tails --out=FILE.json` draws 10 000 rows in 2, 10 and 50
dimensions: one multivariate t law ("elliptical"), or independent t coordinates, rotated
("rotated"), of nu = 1.5, 2, 3 and infinity degrees of freedom, and rotated coordinates of which a
quarter has each nu ("mixed"). On the same rows are fitted `NormalizingFlow()` as shipped, the same
with `tails="gaussian"`, and a generalised Pareto law of the rows' radii (`PeaksOverThreshold`).

Figures are the common logarithms of each one's level over the true one, of the radius that is
exceeded with probability 1e-6, and the mean log-likelihoods of 10 000 further rows, those of the
true law among them. A density's level is that of 16 million of its draws (two with normal
tails). The true level of sums of independent squares is by conditional simulation (Asmussen &
Kroese 2006). `--only=2_1.5_rotated` takes single cases.
"""

import itertools
import warnings

import numpy as np
from absl import flags
from scipy import stats
from scipy.optimize import brentq
from scipy.stats import ortho_group

import flowaa
from flowaa.errors import UserError
from flowaa.extremes import PeaksOverThreshold

_DIMS, _DEGREES, _N_ROWS = (2, 10, 50), (1.5, 2.0, 3.0, np.inf), 10_000
_RARE = 1e-6
_CHUNK = 500_000  # rows drawn at a time
_N_DRAWN = 16_000_000  # of a density: sixteen rows lie beyond the level
_N_DRAWN_LIGHT = 2_000_000  # of one with normal tails, whose levels hardly differ by chance


def run() -> dict[str, float]:
    """Errors and log-likelihoods of every case."""
    figures: dict[str, float] = {}
    worst: dict[str, float] = {}
    for name, (d, degrees, kind) in _cases().items():
        train, test, true_level, true_score = _drawn(d, degrees, kind)
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
        figures[f"{name}/log_prob_true"] = true_score
        for method, model in models.items():
            figures[f"{name}/log_prob_{method}"] = model.score(test)
        for method, level in levels.items():
            error = float(np.log10(level / true_level))
            figures[f"{name}/error_{method}"] = error
            worst[method] = max(worst.get(method, 0.0), abs(error))
        weights = {k: round(v, 2) for k, v in models["flowaa"].member_weights_.items()}
        print(f"{name:18} level {true_level:9.3g}, log10 of found over true " + ", ".join(
            f"{method} {figures[f'{name}/error_{method}']:.3f}" for method in levels)
            + "; nats " + ", ".join(f"{method} {figures[f'{name}/log_prob_{method}']:.3f}"
                                    for method in ("true", *models)) + f"; {weights}", flush=True)
    return figures | {f"worst_error_{method}": value for method, value in worst.items()}


def _cases() -> dict[str, tuple[int, float, str]]:
    """Name → dimensions, degrees of freedom, kind."""
    cases = {f"{d}_{nu:g}_{kind}": (d, nu, kind)
             for d, nu, kind in itertools.product(_DIMS, _DEGREES, ("elliptical", "rotated"))}
    cases |= {f"{d}_mixed": (d, np.nan, "mixed") for d in _DIMS}
    only = [name for name in flags.FLAGS.only.split(",") if name]
    for name in only:
        if name not in cases:
            raise UserError(f"--only: there is no case {name!r}; there are {', '.join(cases)}")
    return {name: cases[name] for name in only or cases}


def _drawn(d: int, degrees: float, kind: str) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Rows to fit and to test [10 000, d], the true level, the true law's score of the latter."""
    rng = np.random.default_rng(0)
    shape = (2 * _N_ROWS, d)
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
    n_kept = int(4 * _RARE * n)  # over which the levels are smoothed by Weissman's power
    largest = np.zeros(0)
    for _ in range(n // _CHUNK):
        radii = np.linalg.norm(model.sample(_CHUNK), axis=1)
        largest = np.sort(np.concatenate([largest, radii]))[-n_kept - 1:]
    power = np.log(largest[1:] / largest[0]).mean()
    return float(largest[0] * (n_kept / (_RARE * n)) ** power)
