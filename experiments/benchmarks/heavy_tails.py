"""Heavy-tailed rows: is the radius that one in a million exceeds found from ten thousand?

`python -m experiments.benchmark heavy_tails --out=FILE.json` draws 10 000 rows in 2, 10 and 50
dimensions: one multivariate t law ("elliptical"), or independent t coordinates, rotated
("rotated"), of nu = 1.5, 2, 3 and infinity degrees of freedom, rotated coordinates of which a
quarter has each nu ("mixed"), and three laws of index two that are those of no member: t
coordinates under a normal copula of correlation 0.6 ("copula"), positive coordinates of Lomax's law
("lomax") and two clusters of multivariate t rows ("clusters"). On the same rows are fitted
`NormalizingFlow()` as shipped, the same with `tails="gaussian"`, a multivariate t law by maximum
likelihood ("student_t"), a generalised Pareto law of the rows' radii (`PeaksOverThreshold`), and,
of the first draw and where zuko is installed, flows of published heavy tails: mTAF, gTAF and TTF,
each in the same seconds.

Figures are the common logarithms of each one's level over the true one, of the radius that is
exceeded with probability 1e-6, and the mean log-likelihoods of 10 000 further rows, those of the
true law among them; of `--splits` draws of the rows (errors are root mean squares). Levels of
densities are by importance sampling, null where its rows cannot tell one (`_heavy_rows`); the worst
error is that of the levels told, whose number stands beside it. Its rows lie along the rays of the
law, of the features' axes and of our independent sources, so that a peer whose far rows lie
elsewhere is told no level: log-likelihoods compare all. Elliptical and rotated laws are those of
members of ours.
`--only=2_1.5_rotated` takes single cases.
"""

import importlib.util
import itertools
import warnings
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from absl import flags
from scipy import stats
from scipy.optimize import minimize_scalar

import flowaa
from experiments.benchmarks._heavy_rows import RARE, HeavyRows, Stretched, cases
from flowaa.errors import UserError
from flowaa.extremes import PeaksOverThreshold
from flowaa.flow.tables.independent_t import IndependentT

_N_ROWS = 10_000
_ROUNDS = 40


def run() -> dict[str, float]:
    """Errors and log-likelihoods of every case."""
    scores: dict[str, list[float]] = defaultdict(list)
    errors: dict[str, list[float]] = defaultdict(list)
    for (name, law), seed in itertools.product(_chosen().items(), range(flags.FLAGS.splits)):
        rng = np.random.default_rng(seed)
        train, test = law.draw(rng, _N_ROWS), law.draw(rng, _N_ROWS)
        log_probs, ours = _fitted(train, has_peers=seed == 0)
        stretched = Stretched.of(law, *_other_rays(law, ours))
        true_level = stretched.level(law.log_prob)
        with np.errstate(over="ignore", invalid="ignore"):
            levels = {method: stretched.level(log_prob) for method, log_prob in log_probs.items()}
        levels["pareto_of_radii"] = float(PeaksOverThreshold().fit(
            np.linalg.norm(train, axis=1)).return_level(1 / RARE))
        log_probs["true"] = law.log_prob
        parts = []
        for method, log_prob in log_probs.items():
            scores[f"{name}/log_prob_{method}"].append(float(log_prob(test).mean()))
            parts.append(f"{method} {scores[f'{name}/log_prob_{method}'][-1]:.3f}")
        parts.append("log10 of level found over true")
        for method, level in levels.items():
            errors[f"{name}/error_{method}"].append(float(np.log10(level / true_level)))
            parts.append(f"{method} {errors[f'{name}/error_{method}'][-1]:.3f}")
        print(f"{name} ({seed}) level {true_level:.4g}; nats {', '.join(parts)}; "
              f"{ {key: round(value, 2) for key, value in ours.member_weights_.items()} }",
              flush=True)
    figures = {key: float(np.mean(values)) for key, values in scores.items()}
    figures |= {key: float(np.sqrt(np.mean(np.square(values)))) for key, values in errors.items()}
    by_method: dict[str, list[float]] = defaultdict(list)
    for key, values in errors.items():
        by_method[key.split("/error_")[1]] += values
    for method, values in by_method.items():
        told = np.abs(values)[np.isfinite(values)]
        figures |= {f"worst_error_{method}": float(told.max(initial=0.0)) if len(told) else np.nan,
                    f"n_levels_told_{method}": len(told),
                    f"n_levels_within_0.1_{method}": int((told <= 0.1).sum())}
    return figures


def _chosen() -> dict[str, HeavyRows]:
    """The cases that `--only` names, or all."""
    every = cases()
    only = flags.FLAGS.only
    for name in only:
        if name not in every:
            raise UserError(f"--only: there is no case {name!r}; there are {', '.join(every)}")
    return {name: every[name] for name in only or every}


def _fitted(
    train: np.ndarray, *, has_peers: bool
) -> tuple[dict[str, Callable[[np.ndarray], np.ndarray]], flowaa.NormalizingFlow]:
    """Each method's log-likelihoods of rows, and our estimator."""
    seconds = flags.FLAGS.max_seconds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = flowaa.NormalizingFlow(max_seconds=seconds, random_state=0).fit(train)
        light = flowaa.NormalizingFlow(
            tails="gaussian", max_seconds=seconds, random_state=0).fit(train)
    fitted: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "flowaa": ours.score_samples, "gaussian_tails": light.score_samples,
        "student_t": _student_t(train)}
    if has_peers and importlib.util.find_spec("zuko"):
        from experiments.benchmarks._tail_peers import fit_tail_peers

        fitted |= fit_tail_peers(train, seconds, seed=0)
    return fitted, ours


def _student_t(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """log p of the likeliest multivariate t law, by expectation and maximisation.

    For each of some degrees of freedom its own rounds, from the rows' medians; written here so that
    nothing of it is ours.
    """
    d = train.shape[1]

    def fit(degrees: float) -> tuple[float, np.ndarray, np.ndarray]:
        mean = np.median(train, axis=0)
        shape = np.diag((np.subtract(*np.quantile(train, [0.75, 0.25], axis=0)) / 1.35) ** 2)
        for _ in range(_ROUNDS):
            rest = train - mean
            distances = np.einsum("ni,ni->n", rest @ np.linalg.inv(shape), rest)
            weight = (degrees + d) / (degrees + distances)
            mean = weight @ train / weight.sum()
            shape = (weight[:, None] * (train - mean)).T @ (train - mean) / len(train)
        law = stats.multivariate_t(mean, shape, degrees)
        return float(law.logpdf(train).mean()), mean, shape

    best = minimize_scalar(lambda log_degrees: -fit(np.exp(log_degrees))[0],
                           bounds=(np.log(0.5), np.log(300.0)), method="bounded")
    _, mean, shape = fit(np.exp(best.x))
    return stats.multivariate_t(mean, shape, np.exp(best.x)).logpdf


def _other_rays(law: HeavyRows, ours: flowaa.NormalizingFlow) -> list[HeavyRows]:
    """Laws along whose rays far rows of a density of mixed coordinates may lie, if not the law's.

    The features' axes, as where each feature has a tail of its own, and those of our estimator's
    independent sources.
    """
    if law.kind not in ("rotated", "lomax") or np.isinf(min(law.degrees)):
        return []
    d = len(law.degrees)
    rays = [HeavyRows((min(law.degrees),) * d, "rotated", mixing=np.eye(d))]
    columns = ours._columns
    for member in ours._fit.laws:
        if isinstance(member, IndependentT):
            mixing = np.linalg.inv(member.unmixing) * (columns.deviation * columns.unit)
            rays.append(HeavyRows(tuple(member.degrees.tolist()), "rotated", mixing=mixing))
    return rays
