"""The scikit-learn faces of the library."""

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from flowaa.archetypes.classical.alternation import SOLVERS
from flowaa.archetypes.classical.model import INITS, Model, Settings, find_weights, fit_model
from flowaa.archetypes.classical.robust import LOSSES
from flowaa.archetypes.classical.streaming import CAPACITY, Summary, extend

_DTYPES = [np.float64, np.float32]


class ArchetypalAnalysis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows as mixtures of a few extreme rows: X ≈ A B X (Cutler & Breiman 1994; thesis 2.11–2.14).

    Each archetype is a mixture of rows, Z = B X, and each row is approximated by a mixture of
    archetypes, A Z. The computation runs in the precision of the data, float32 or float64, on
    JAX's default device, at a cost in time and memory of O(n_samples · n_archetypes · n_features).

    Archetypes depend on the units of the features: scale them alike. In data without corners,
    such as a Gaussian's, archetypes drift outwards as rows are added; `trim` keeps them in place.

    Args:
        n_archetypes: how many, K; see `flowaa.archetypes.choose_n_archetypes`.
        solver: "pcha" (projected gradients, Mørup & Hansen 2012), "als" (alternating least
            squares, each problem solved to the last digits) or "frank_wolfe" (Bauckhage et al.
            2015). From the same start they end at the same archetypes; the first is the fastest.
        init: how archetypes start, "coreset", "aa++", "furthest_first", "furthest_sum" or
            "uniform". With "coreset", starts of the last two kinds take turns, and in more than
            4096 rows are compared on a weighted sample (Mair & Brefeld 2019).
        n_init: starts of which the best is kept.
        tol: the fit ends when a round lowers the loss by less than this share of it.
        max_iter: rounds after which the best start is given up.
        loss: "squared", or robust: "huber" or "bisquare" (Eugster & Leisch 2011), which also
            keep archetypes from rows more than four median distances from the centre.
        trim: share of the rows, those furthest from the centre, of which no archetype is made.
        random_state: seed or generator of the starts.

    Attributes:
        archetypes_: [K, n_features] Z, by decreasing share in the data.
        weights_: [n_samples, K] A; rows are non-negative and sum to one. Not after `partial_fit`.
        data_weights_: [K, n_samples] B, likewise; after `partial_fit`, over `summary_rows_`.
        rss_: residual sum of squares, rows counting by their sample weights.
        explained_variance_: share of the variance about the mean that the fit explains.
        gap_: certificate. Better weights A for these archetypes, or better archetypes in the hull
            of the rows for this A, would lower the loss by at most this share of it.
        n_iter_: rounds that the best start took.
        converged_: whether it ended before `max_iter`.
        n_samples_seen_: rows given to `partial_fit`.
        summary_rows_: [m, n_features] rows that stand for all those given to `partial_fit`.
    """

    def __init__(
        self, n_archetypes: int = 3, *, solver: str = "pcha", init: str = "coreset",
        n_init: int = 10, tol: float = 1e-6, max_iter: int = 500, loss: str = "squared",
        trim: float = 0.0, random_state: Any = None,
    ) -> None:
        self.n_archetypes = n_archetypes
        self.solver = solver
        self.init = init
        self.n_init = n_init
        self.tol = tol
        self.max_iter = max_iter
        self.loss = loss
        self.trim = trim
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
            ) -> "ArchetypalAnalysis":
        """Finds the archetypes.

        Args:
            X: [n_samples, n_features] finite numbers.
            y: ignored.
            sample_weight: [n_samples] non-negative; a row of weight two counts as two rows.

        Raises:
            ValueError: X, the weights or a parameter is not as described, or there are fewer rows
                than archetypes.
        """
        x = validate_data(self, X, dtype=_DTYPES, order="C")
        for stale in ("_summary", "n_samples_seen_", "summary_rows_"):
            self.__dict__.pop(stale, None)
        weight = None if sample_weight is None else _checked_weight(sample_weight, x)
        model = self._fit(x, weight, room=0)
        self.weights_ = model.weights
        return self

    def fit_transform(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
                      ) -> np.ndarray:
        """Finds the archetypes and returns their weights in the rows [n_samples, K]."""
        return self.fit(X, y, sample_weight).weights_

    def partial_fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
                    ) -> "ArchetypalAnalysis":
        """Finds the archetypes of all rows given so far, of which only a summary is kept.

        The summary holds up to 4096 weighted rows: all those given while they are fewer, later
        those that make up the archetypes and a sample that prefers far-out rows.

        Args:
            X: [n_samples, n_features] further rows.
            y: ignored.
            sample_weight: [n_samples] non-negative.

        Raises:
            ValueError: as for `fit`.
        """
        summary: Summary | None = self.__dict__.get("_summary")
        x = validate_data(self, X, dtype=_DTYPES, order="C", reset=summary is None)
        in_use = np.array([], int) if summary is None else np.flatnonzero(self.data_weights_.any(0))
        summary = extend(summary, x, _checked_weight(sample_weight, x), in_use,
                         _generator(self.random_state))
        self._fit(summary.x, summary.weight, room=CAPACITY)
        self.__dict__.pop("weights_", None)
        self._summary = summary
        self.n_samples_seen_ = summary.n_seen
        self.summary_rows_ = summary.x
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The weights [n_samples, K] of the archetypes in rows [n_samples, n_features]."""
        return self._find_weights(X)[0]

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Mixtures [n_samples, n_features] of the archetypes with weights [n_samples, K]."""
        check_is_fitted(self)
        weights = check_array(X, dtype=_DTYPES)
        if weights.shape[1] != len(self.archetypes_):
            raise ValueError(f"X has {weights.shape[1]} columns, but there are "
                             f"{len(self.archetypes_)} archetypes: give one weight for each")
        return weights @ self.archetypes_

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Share of the variance of rows about the mean of the training rows that is explained."""
        _, squared, x = self._find_weights(X)
        weight = _checked_weight(sample_weight, x)
        total = float(weight @ ((x - self.mean_) ** 2).sum(1))
        return 1.0 - float(weight @ squared) / total if total > 0 else 1.0

    def _find_weights(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights [n, K] and squared residuals [n] of validated rows [n, D], and the rows."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=_DTYPES, order="C", reset=False)
        return *find_weights(x, self.archetypes_, self._frame, solver=self.solver), x

    def _fit(self, x: np.ndarray, weight: np.ndarray | None, *, room: int) -> Model:
        """Fits validated rows and sets the attributes that every fit has."""
        settings = self._checked_settings()
        if settings.n_archetypes > len(x):
            raise ValueError(f"n_archetypes={settings.n_archetypes} is more than "
                             f"n_samples={len(x)}: ask for fewer archetypes or give more rows")
        model = fit_model(
            x, settings, weight=weight, rng=_generator(self.random_state), room=room)
        if not model.converged:
            warnings.warn(f"The fit did not converge in max_iter={settings.max_iter} rounds: raise "
                          "max_iter or tol.", ConvergenceWarning, stacklevel=3)
        self.archetypes_ = model.archetypes
        self.data_weights_ = model.dense_data_weights()
        self.rss_ = model.rss
        self.explained_variance_ = 1.0 - model.rss / model.total if model.total > 0 else 1.0
        self.gap_ = model.gap
        self.n_iter_ = model.n_iter
        self.converged_ = model.converged
        self.mean_ = model.mean
        self._frame = model.frame
        return model

    def _checked_settings(self) -> Settings:
        """The parameters, if they are as described."""
        for name in ("n_archetypes", "n_init", "max_iter"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name}={value!r}: it must be an integer of at least 1")
        for name, choices in (("solver", tuple(SOLVERS)), ("init", INITS), ("loss", LOSSES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {choices}")
        for name in ("tol", "trim"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0.0 <= float(value) < 1.0:
                raise ValueError(f"{name}={value!r}: it must be a number in [0, 1)")
        return Settings(
            n_archetypes=int(self.n_archetypes), solver=self.solver, init=self.init,
            n_init=int(self.n_init), tol=float(self.tol), max_iter=int(self.max_iter),
            loss=self.loss, trim=float(self.trim))

    @property
    def _n_features_out(self) -> int:
        return len(self.archetypes_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _checked_weight(sample_weight: ArrayLike | None, x: np.ndarray) -> np.ndarray:
    """One float64 weight a row."""
    weight = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("sample_weight is zero for every row: at least one must count")
    return weight


def _generator(random_state: Any) -> np.random.Generator:
    """A generator from what scikit-learn takes as a random state."""
    return np.random.default_rng(check_random_state(random_state).randint(2**31))
