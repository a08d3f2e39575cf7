"""Archetypal analysis of a table: what the estimator, the choice of k and the commands share."""

import contextlib
import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from flowaa.archetypes.classical import linear, starts
from flowaa.archetypes.classical.alternation import LAST_MIX_STEPS
from flowaa.archetypes.classical.rows import Frame, Rows, block_shape, prepare

_ROUNDING = 1e3  # units in the last place of the total sum of squares that count as none
_START_MIX_STEPS = 30  # AA++ draws rows by their residuals, which need not be exact

INITS = ("coreset", "aa++", "furthest_first", "furthest_sum", "uniform")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How archetypes are found."""

    n_archetypes: int
    solver: str = "pcha"  # a key of alternation.SOLVERS
    init: str = "coreset"  # one of INITS
    n_init: int = 10  # starts that are compared
    tol: float = 1e-6  # relative decrease of the loss in a round that ends the fit
    max_iter: int = 500  # rounds of the best start
    loss: str = "squared"  # one of robust.LOSSES
    trim: float = 0.0  # share of the rows, the furthest out, that archetypes may not use


@dataclasses.dataclass(frozen=True)
class Model:
    """Fitted archetypes and how well they fit, in data units."""

    archetypes: np.ndarray  # [K, D], by decreasing share of the data
    weights: np.ndarray  # [n, K] of the archetypes in each row: A
    data_index: np.ndarray  # [K, S] the rows that make up the archetypes …
    data_weight: np.ndarray  # [K, S] … and their weights: B without its zeros
    frame: Frame
    rss: float  # weighted residual sum of squares
    mean: np.ndarray  # [D] weighted
    total: float  # weighted sum of squares about the mean
    gap: float  # the most that a better A, or a better B, could lower the loss, as a share of it
    n_iter: int  # rounds of the best start
    converged: bool

    def dense_data_weights(self) -> np.ndarray:
        """B [K, n]."""
        dense = np.zeros((len(self.archetypes), len(self.weights)), self.data_weight.dtype)
        np.add.at(dense, (np.arange(len(dense))[:, None], self.data_index), self.data_weight)
        return dense


def fit_model(
    x: np.ndarray, settings: Settings, *, weight: np.ndarray | None = None,
    rng: np.random.Generator, room: int = 0,
) -> Model:
    """Fits archetypes.

    Args:
        x: [n, D] finite, float32 or float64, which is also the precision of the computation.
        settings: how.
        weight: [n] sample weights, non-negative and some positive; None for equal ones.
        rng: draws the coreset and the starts.
        room: compile for so many rows, if there are fewer, so that later fits need not compile.
    """
    rows = prepare(x, np.ones(len(x)) if weight is None else np.asarray(weight, np.float64),
                   coreset=settings.init == "coreset", trim=settings.trim,
                   resistant=settings.loss != "squared", rng=rng, room=room)
    with _precision(x.dtype):
        fit = linear.fit(
            rows.blocks(), _choose_starts(rows, settings, rng),
            jax.device_put(x.dtype.type(settings.tol)), jax.device_put(np.int32(settings.max_iter)),
            solver=settings.solver, loss=settings.loss, coreset=rows.coreset)
        return _in_data_units(fit, rows)


def find_weights(
    x: np.ndarray, archetypes: np.ndarray, frame: Frame, *, solver: str
) -> tuple[np.ndarray, np.ndarray]:
    """The weights [n, K] of archetypes [K, D] in the rows [n, D], and squared residuals [n]."""
    n_blocks, size = block_shape(len(x))
    blocks = np.empty((n_blocks, size, x.shape[1]), x.dtype)
    frame.write(x, blocks.reshape(-1, x.shape[1]))
    normalised = ((archetypes - frame.centre) / frame.scale).astype(x.dtype)
    with _precision(x.dtype):
        mixture, squared = linear.assign(
            jnp.asarray(blocks), jnp.asarray(normalised), jnp.int32(LAST_MIX_STEPS), solver=solver)
        weights = np.asarray(mixture).transpose(0, 2, 1).reshape(-1, len(archetypes))
        return weights[: len(x)], np.asarray(squared, np.float64).ravel()[: len(x)] * frame.scale**2


def _choose_starts(rows: Rows, settings: Settings, rng: np.random.Generator) -> Array:
    """Places [R, K] of the rows that the archetypes start from."""
    flat = rows.copied.reshape(-1, rows.copied.shape[-1])
    n_places = rows.copied.shape[1] if rows.coreset else rows.eligible.size
    allowed = np.flatnonzero(rows.eligible.reshape(-1)[:n_places])
    # Where nothing is left out but padding, no copy is needed.
    is_whole = len(allowed) == allowed[-1] + 1
    x = flat[: len(allowed)] if is_whole else flat[allowed]
    weight = rows.weight.reshape(-1)[allowed]

    scope = jax.device_put(rows.copied[:1] if rows.coreset else rows.copied)

    def residuals(archetypes: np.ndarray) -> np.ndarray:
        squared = linear.assign(
            scope, jnp.asarray(archetypes), jnp.int32(_START_MIX_STEPS), solver=settings.solver)[1]
        return np.asarray(squared).ravel()[allowed]

    rules_of: dict[str, list[starts.Rule]] = {
        "uniform": [starts.uniform],
        "furthest_first": [starts.furthest_first],
        "furthest_sum": [starts.furthest_sum],
        "aa++": [starts.aa_plus_plus(residuals)],
        # Far-out rows and typical ones fail on different data: take turns.
        "coreset": [starts.furthest_sum, starts.uniform],
    }
    rules = rules_of[settings.init]
    picks = [rules[i % len(rules)](x, weight, settings.n_archetypes, rng)
             for i in range(settings.n_init)]
    return jax.device_put(allowed[np.array(picks)].astype(np.int32))


def _in_data_units(fit: linear.Fit, rows: Rows) -> Model:
    """The result of a fit for the table it was made for."""
    first = int(rows.coreset)
    mixture = np.asarray(fit.mixture)
    share = np.einsum("nkb,nb->k", mixture[first:], rows.weight[first:])
    order = np.argsort(-share, kind="stable")
    weights = np.empty((len(rows.place), len(order)), mixture.dtype)
    for column, j in enumerate(order):  # one at a time, for the memory's sake
        weights[:, column] = mixture[:, j].reshape(-1)[rows.place]
    unit = rows.frame.scale**2 * rows.mean_weight
    # Where the archetypes reproduce the data, the gap is rounding, and so is what it compares with.
    floor = _ROUNDING * float(np.finfo(weights.dtype).eps) * rows.total / unit
    return Model(
        archetypes=rows.frame.restore(np.asarray(fit.archetypes)[order]).astype(weights.dtype),
        weights=weights,
        data_index=rows.origin[np.asarray(fit.hull.place)[order]],
        data_weight=np.asarray(fit.hull.weight)[order],
        frame=rows.frame, rss=float(fit.rss) * unit, mean=rows.mean, total=rows.total,
        gap=2.0 * float(fit.gap) / (float(fit.loss) + floor or 1.0),
        n_iter=int(fit.n_rounds), converged=bool(fit.converged))


@contextlib.contextmanager
def _precision(dtype: np.dtype) -> Iterator[None]:
    """Computes in the given precision, and never multiplies matrices in less (GPU, TPU)."""
    # jax.experimental.enable_x64 was renamed in jax 0.8.
    home = jax if hasattr(jax, "enable_x64") else jax.experimental
    enable_x64 = home.enable_x64
    with enable_x64(bool(dtype == np.float64)), jax.default_matmul_precision("highest"):
        yield
