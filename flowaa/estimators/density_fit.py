"""The fit of `NormalizingFlow`: folds, flows, simpler laws, and the weights that join them."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from flowaa.estimators.density_laws import NAMES, Law, fit_laws, with_whole_tail
from flowaa.estimators.density_starts import judged_rows, prepared_rows, untrained
from flowaa.estimators.fold_rows import counted, in_proportion, split_into_folds, varying
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.tables.gaussian_mixture import choose_gaussians
from flowaa.flow.tables.stacking import log_mixture, stacking_weights
from flowaa.flow.tables.table_flow import TableFlow
from flowaa.flow.tables.ties import fit_ties
from flowaa.training.folds import FoldTraining, train_folds

_MANY_ROWS = 20_000  # from which networks are wider, and nothing is done against overfitting
_SEARCH_SHARE = 0.15  # of the time, for the choice of a Gaussian mixture
_LEAST_WEIGHT = 0.01  # of a member: it costs others at most 0.03 nats and bounds the worst row
_N_LASTING_LAWS = 2  # Gaussian mixture and t law, which stay however little they help
_LEAST_LOG_PROB = -1e30  # of a held-out row, so that saved numbers are finite


@dataclasses.dataclass(frozen=True)
class DensitySettings:
    """What `fit_density` is told."""

    architecture: Architecture | None  # None: by the table's shape
    ends_at: float  # on the clock `time.monotonic`
    validation_fraction: float
    seed: int
    shows_progress: bool
    has_powers: bool = True  # whether tails may fall as a power


@dataclasses.dataclass(frozen=True)
class DensityFit:
    """A fitted density of standardised rows [n, D].

    Attributes:
        architecture: of the flows' chains.
        flows: one a fold.
        laws: the other members, a Gaussian mixture first.
        weights: [F + L] of flows and laws.
        steps: [F] after which each flow was best.
        validation_score: mean log-likelihood of held-out rows, ties spread.
        training_score: of the same rows under the final density.
        held_out_radii: latent radii of rows, ties spread, under the flow that did not see them.
        held_out_log_probs: log p of rows as they are, under the flow and laws that did not.
    """

    architecture: Architecture
    flows: tuple[TableFlow, ...]
    laws: tuple[Law, ...]
    weights: np.ndarray
    steps: np.ndarray
    validation_score: float
    training_score: float
    held_out_radii: np.ndarray
    held_out_log_probs: np.ndarray

    @property
    def named_weights(self) -> dict[str, float]:
        """Weights of the kinds of members."""
        n_flows, weights = len(self.flows), self.weights.tolist()
        of_laws = {NAMES[type(law)]: weight
                   for law, weight in zip(self.laws, weights[n_flows:], strict=True)}
        return {"flow": sum(weights[:n_flows]), **of_laws}

    @property
    def tail_indices(self) -> np.ndarray:
        """[D, 2] of each column below and above, the mean over flows; 0: as a normal law's."""
        return np.mean([flow.before.marginals.tail_shapes for flow in self.flows], axis=0)

    def log_prob(self, x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        """log p [n] of standardised rows."""
        with np.errstate(over="ignore"):  # the square of a row too far for any density
            members = [*(flow.log_prob(x, context) for flow in self.flows),
                       *(law.log_prob(x) for law in self.laws)]
        return log_mixture(np.stack(members), self.weights)

    def log_prob_by_flow(self, x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        """log p [F, n] with one flow in place of all, as held-out rows have it."""
        n_flows = len(self.flows)
        weights = np.array([self.weights[:n_flows].sum(), *self.weights[n_flows:]])
        with np.errstate(over="ignore"):
            of_laws = [law.log_prob(x) for law in self.laws]
            return np.stack([log_mixture(np.stack([flow.log_prob(x, context), *of_laws]), weights)
                             for flow in self.flows])

    def sample(self, rng: np.random.Generator, n: int, context: np.ndarray | None) -> np.ndarray:
        """n standardised rows [n, D]."""
        member = rng.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        rows = np.empty((n, len(self.flows[0].before.whitening.mean)))
        for index, flow in enumerate(self.flows):
            here = member == index
            if here.any():
                z = rng.standard_normal((here.sum(), rows.shape[1]))
                rows[here] = flow.decode(z, None if context is None else context[here])
        for index, law in enumerate(self.laws, len(self.flows)):
            here = member == index
            rows[here] = law.sample(rng, int(here.sum()))
        return rows


def _choose(n: int) -> tuple[Architecture, FoldTraining]:
    """Coupling blocks for n rows, and how they are trained."""
    is_small = n < _MANY_ROWS
    architecture = Architecture(
        (Stage("none", 4, 64 if is_small else 128, 2),), law="spline", mixing="orthogonal",
        spline_bins=6, dropout=0.2 if is_small else 0.0, scan=True)
    if is_small:
        return architecture, FoldTraining(batch_size=128, steps=1500, noise=0.05)
    return architecture, FoldTraining(batch_size=512, steps=20_000, noise=0.0)


def fit_density(
    x: np.ndarray, context: np.ndarray | None, weight: np.ndarray, settings: DensitySettings,
) -> DensityFit:
    """Fits standardised rows x [n, D].

    Args:
        x: rows of which no column is constant.
        context: [n, E] or None.
        weight: [n] positive, how much each row counts.
        settings: see there.
    """
    rng = np.random.default_rng(settings.seed)
    n, d = x.shape
    folds = split_into_folds(n, settings.validation_fraction, rng)
    architecture, training = _choose(n)
    architecture = settings.architecture or architecture
    chain, _ = architecture.build((d,))
    # Every member learns and is judged on rows whose ties are spread: at a level itself a narrow
    # law could be as likely as it liked.
    ties = fit_ties(x)
    spread = ties.spread(x, rng)
    started = time.monotonic()
    search_ends_at = started + _SEARCH_SHARE * (settings.ends_at - started)
    choice = choose_gaussians(counted(spread, weight), settings.seed,
                              lambda: time.monotonic() > search_ends_at)
    starts, train = [], []
    laws_of_folds: list[tuple[Law, ...]] = []
    train_context: list[np.ndarray] = []
    for fold in folds:
        rest = np.setdiff1d(np.arange(n), fold)
        rows = rest[in_proportion(weight[rest], len(rest))]
        start = untrained(x[rows], ties, rng, spread[fold], weight[fold],
                          has_powers=settings.has_powers)
        u, index = prepared_rows(start, x, rows, ties, rng)
        starts.append(start)
        train.append(u)
        if context is not None:
            train_context.append(context[index].astype(np.float32))
        laws_of_folds.append(fit_laws(
            varying(spread[rows]), choice, settings.seed, has_powers=settings.has_powers,
            of_first_fold=laws_of_folds[0] if laws_of_folds else None, held_out=spread[folds[0]]))
    # The one fold's laws have seen most rows, and the time is for the flow.
    laws = laws_of_folds[0] if len(folds) == 1 else fit_laws(
        counted(spread, weight), choice, settings.seed, has_powers=settings.has_powers,
        of_first_fold=laws_of_folds[0], held_out=spread[folds[0]])
    held_out = [[law.log_prob(spread[fold]) for law in laws_of_fold]
                for fold, laws_of_fold in zip(folds, laws_of_folds, strict=True)]
    judged, judged_context, counts = judged_rows(folds, starts, spread, context, weight)
    with _progress(settings.shows_progress, training.steps) as show:
        trained = train_folds(
            chain, np.stack(train), judged, counts,
            train_context=np.stack(train_context) if train_context else None,
            validation_context=judged_context, settings=training,
            seed=settings.seed, seconds_left=lambda: settings.ends_at - time.monotonic(), show=show)
    flows = tuple(TableFlow(start, chain, params)
                  for start, params in zip(starts, trained.params, strict=True))

    latents = [flow.encode(spread[fold], None if context is None else context[fold])
               for flow, fold in zip(flows, folds, strict=True)]
    radii = np.concatenate([np.linalg.norm(z, axis=1) for z, _ in latents])
    of_flows = np.concatenate([log_det - 0.5 * (z.astype(float) ** 2 + np.log(2 * np.pi)).sum(1)
                               for z, log_det in latents])
    of_laws = [np.concatenate([scores[index] for scores in held_out])
               for index in range(len(laws))]
    rows = np.concatenate(folds)
    log_probs = np.stack([of_flows, *of_laws])
    weights = stacking_weights(log_probs, weight[rows], least=_LEAST_WEIGHT)
    if len(laws) > _N_LASTING_LAWS and weights[-1] < 2 * _LEAST_WEIGHT:
        # What hardly helps costs the others its least weight.
        laws, log_probs = laws[:-1], log_probs[:-1]
        laws_of_folds = [of_fold[:-1] for of_fold in laws_of_folds]
        weights = stacking_weights(log_probs, weight[rows], least=_LEAST_WEIGHT)
    weights = with_whole_tail(weights, log_probs, weight[rows], laws, least=_LEAST_WEIGHT)
    validation = float(np.average(log_mixture(log_probs, weights), weights=weight[rows]))
    as_they_are = np.concatenate([
        np.maximum(_LEAST_LOG_PROB, log_mixture(np.stack([
            flow.log_prob(x[fold], None if context is None else context[fold]),
            *(law.log_prob(x[fold]) for law in laws_of_fold)]), weights))
        for flow, laws_of_fold, fold in zip(flows, laws_of_folds, folds, strict=True)])
    counting = in_proportion(weight[rows], len(rows))
    fit = DensityFit(
        architecture, flows, laws,
        np.concatenate([np.full(len(flows), weights[0] / len(flows)), weights[1:]]),
        trained.steps, validation, np.nan, radii[counting], as_they_are[counting])
    given = None if context is None else context[rows]
    score = float(np.average(fit.log_prob(spread[rows], given), weights=weight[rows]))
    return dataclasses.replace(fit, training_score=score)


@contextlib.contextmanager
def _progress(is_shown: bool, steps: int) -> Iterator:
    """A function that is told steps and score, and shows them if asked."""
    with tqdm(total=steps, unit="step", disable=not is_shown, dynamic_ncols=True) as bar:
        def show(step: int, score: float) -> None:
            bar.update(step - bar.n)
            bar.set_postfix_str(f"validation {score:.3f} nats")
        yield show
