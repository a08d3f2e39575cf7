"""Archetypal analysis of a table as a scikit-learn estimator."""

import dataclasses
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from flowaa.archetypes.classical.coreset import Summary, extend
from flowaa.archetypes.classical.model import different_archetypes, find_weights, fit_model
from flowaa.archetypes.classical.search import Settings
from flowaa.errors import UserError, warn

_SOLVERS = ("als", "pcha", "frank_wolfe")
_DTYPES = [np.float64, np.float32]
_OF_STREAMS = ("_summary", "n_samples_seen_", "summary_rows_")


class ArchetypalAnalysis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows as mixtures of a few extreme rows: X ≈ A B X (Cutler & Breiman 1994; thesis 2.11–2.14).

    Each archetype is a mixture of rows, Z = B X, and each row is approximated by a mixture of
    archetypes, A Z. The computation runs in NumPy, in float64, at a cost in time and memory of
    O(n_samples · n_archetypes · n_features); results have the precision of X.

    Archetypes depend on the units of the features: scale them alike. In data without corners,
    such as a Gaussian's, archetypes drift outwards as rows are added; `trim` keeps them in place.

    Args:
        n_archetypes: how many, K; see `flowaa.archetypes.choose_n_archetypes`.
        solver: "als", alternating least squares, each half of a round solved exactly by active
            sets. The earlier choices "pcha" and "frank_wolfe" are taken for it, with a warning:
            they lower the same loss in smaller steps.
        init: how archetypes start, "coreset", "aa++", "furthest_first", "furthest_sum" or
            "uniform". With "coreset", starts of the last two kinds take turns.
        n_init: starts, of which equal ones count once. Each is followed to convergence; then
            archetypes of the best fit are exchanged for rows as long as that lowers the loss (not
            if `n_init` is 1). Tables of more than 8192 rows or 262 144 numbers are searched on a
            weighted sample (Mair & Brefeld 2019), and the best fit is followed on all rows.
        tol: a fit ends when a round lowers the loss by less than this share of it.
        max_iter: rounds after which a fit is given up.
        loss: "squared", or robust: "huber" or "bisquare" (Eugster & Leisch 2011), which also
            keep archetypes from rows more than four median distances from the centre.
        trim: share of the rows, those furthest from the centre, of which no archetype is made.
        delta: how far archetypes may lie beyond the hull of the rows: it is enlarged by 1 + `delta`
            about their mean (by robust losses, their median). For data whose corners hold no rows.
            The relaxation of PCHA (Mørup & Hansen 2012, doi:10.1016/j.neucom.2011.06.033), applied
            to centred rows; in [0, 1).
        random_state: an integer, or a generator or `RandomState` of NumPy.

    Attributes:
        archetypes_: [K, n_features] Z, by decreasing share in the data.
        weights_: [n_samples, K] A; rows are non-negative and sum to one. Not after `partial_fit`.
        data_weights_: [K, n_samples] B, likewise; after `partial_fit`, over `summary_rows_`. With
            `delta`, archetypes are (1 + delta) times as far from the centre as B X is.
        rss_: residual sum of squares, rows counting by their sample weights.
        explained_variance_: share of the variance about the mean that the fit explains.
        gap_: certificate. Better weights A for these archetypes, or better archetypes in the hull
            of the rows for this A, would lower the loss by at most this share of it. At most 1.
        agreement_: share of the starts that ended within 0.1 % of the best loss found. Near zero,
            more starts may well find a better fit.
        n_iter_: rounds that the best fit took.
        converged_: whether it ended before `max_iter`, with a `gap_` of 0.1 at most.
        n_samples_seen_: rows that the archetypes are fitted to, `partial_fit` after `partial_fit`.
        summary_rows_: [m, n_features] rows that stand for all those given to `partial_fit`.

    >>> import numpy as np
    >>> corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0]])
    >>> X = np.random.default_rng(0).dirichlet([0.5] * 3, 200) @ corners
    >>> X = np.concatenate([corners, X])
    >>> model = ArchetypalAnalysis(3, random_state=0).fit(X)
    >>> sorted(model.archetypes_.round(2).tolist())
    [[0.0, 0.0], [0.0, 2.0], [4.0, 0.0]]
    >>> model.transform([[2.0, 0.0]]).max().round(2)
    np.float64(0.5)

    Without the rows at the corners, archetypes of the hull fall short of them:

    >>> inner = X[3:][X[3:].max(1) < 3.0]
    >>> [float(ArchetypalAnalysis(3, delta=delta, random_state=0).fit(inner)
    ...        .archetypes_.max().round(1)) for delta in (0.0, 0.3)]
    [2.9, 3.4]
    """

    def __init__(
        self, n_archetypes: int = 3, *, solver: str = "als", init: str = "coreset",
        n_init: int = 10, tol: float = 1e-6, max_iter: int = 500, loss: str = "squared",
        trim: float = 0.0, delta: float = 0.0, random_state: Any = None,
    ) -> None:
        self.n_archetypes = n_archetypes
        self.solver = solver
        self.init = init
        self.n_init = n_init
        self.tol = tol
        self.max_iter = max_iter
        self.loss = loss
        self.trim = trim
        self.delta = delta
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
        for stale in _OF_STREAMS:
            self.__dict__.pop(stale, None)
        weight = None if sample_weight is None else _checked_weight(sample_weight, x)
        rng = _generator(self.random_state)
        self.weights_ = self._fit(x, weight, rng)
        counted = np.ones(len(x)) if weight is None else weight
        self._summary = extend(None, x, counted, rng, in_use=self._rows_in_use())
        return self

    def fit_transform(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
                      ) -> np.ndarray:
        """Finds the archetypes and returns their weights in the rows [n_samples, K]."""
        return self.fit(X, y, sample_weight).weights_

    def partial_fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
                    ) -> "ArchetypalAnalysis":
        """Finds the archetypes of all rows given so far, of which only a summary is kept.

        After `fit`, the rows of the fit count as given. The summary holds up to 4096 weighted rows:
        all those given while they are fewer, later those that make up the archetypes and a sample
        that prefers far-out rows. While there are fewer rows than archetypes, they are kept and
        nothing is fitted.

        Args:
            X: [n_samples, n_features] further rows.
            y: ignored.
            sample_weight: [n_samples] non-negative.

        Raises:
            ValueError: as for `fit`.
        """
        summary: Summary | None = self.__dict__.get("_summary")
        x = validate_data(self, X, dtype=_DTYPES, order="C", reset=summary is None)
        rng = _generator(self.random_state)
        summary = extend(summary, x, _checked_weight(sample_weight, x), rng)
        if len(summary.x) >= self._checked_settings().n_archetypes:
            self._fit(summary.x, summary.weight, rng)
            self.summary_rows_ = summary.x
            summary = dataclasses.replace(summary, in_use=self._rows_in_use())
        self.__dict__.pop("weights_", None)
        self._summary = summary
        self.n_samples_seen_ = summary.n_seen
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The weights [n_samples, K] of the archetypes in rows [n_samples, n_features]."""
        return self._find_weights(X)[0]

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Mixtures [n_samples, n_features] of the archetypes with weights [n_samples, K]."""
        check_is_fitted(self, "archetypes_")
        weights = check_array(X, dtype=_DTYPES)
        if weights.shape[1] != len(self.archetypes_):
            raise UserError(f"X has {weights.shape[1]} columns, but there are "
                            f"{len(self.archetypes_)} archetypes: give one weight for each")
        return weights @ self.archetypes_

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Share of the variance of rows about the mean of the training rows that is explained."""
        _, squared, x = self._find_weights(X)
        weight = _checked_weight(sample_weight, x)
        rows = self._frame.to_rows(np.concatenate([x, self.mean_[None]]))
        total = float(weight @ ((rows[:-1] - rows[-1]) ** 2).sum(1))
        return 1.0 - float(weight @ squared) / total if total > 0 else 1.0

    def _rows_in_use(self) -> np.ndarray:
        """The rows that archetypes are made of."""
        return np.flatnonzero(self.data_weights_.any(0))

    def _find_weights(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights [n, K] and squared residuals [n] of validated rows [n, D], and the rows."""
        check_is_fitted(self, "archetypes_")
        x = validate_data(self, X, dtype=_DTYPES, order="C", reset=False)
        return *find_weights(x, self.archetypes_, self._frame), x

    def _fit(self, x: np.ndarray, weight: np.ndarray | None, rng: np.random.Generator
             ) -> np.ndarray:
        """Fits validated rows, sets the attributes that every fit has, and returns A."""
        settings = self._checked_settings()
        if settings.n_archetypes > len(x):
            raise UserError(f"n_archetypes={settings.n_archetypes} is more than "
                            f"n_samples={len(x)}: ask for fewer archetypes or give more rows")
        model = fit_model(x, settings, weight=weight, rng=rng)
        if not model.converged:
            reason = (f"did not converge in max_iter={settings.max_iter} rounds: raise max_iter or "
                      "tol" if model.n_iter >= settings.max_iter
                      else f"ended with a gap_ of {model.gap:.2g}: lower tol")
            warnings.warn(f"The fit {reason}.", ConvergenceWarning, stacklevel=3)
        if settings.n_init > 1 and model.agreement == 0.0:
            warn("none of the starts ended within 0.1 % of the fit that is kept (agreement_ is 0), "
                 "so that a better one may exist: scale the columns alike, or raise n_init")
        n_different = different_archetypes(model.archetypes)
        if n_different < settings.n_archetypes:
            warn(f"only {n_different} of {settings.n_archetypes} archetypes differ, since the rows "
                 "have no more corners or are repeated; set n_archetypes lower")
        self.archetypes_ = model.archetypes
        self.data_weights_ = model.dense_data_weights()
        self.rss_ = model.rss
        self.explained_variance_ = model.explained_variance
        self.gap_ = model.gap
        self.agreement_ = model.agreement
        self.n_iter_ = model.n_iter
        self.converged_ = model.converged
        self.mean_ = model.mean
        self._frame = model.frame
        return model.weights

    def _checked_settings(self) -> Settings:
        """The parameters, if they are as described."""
        if self.solver not in _SOLVERS:
            raise UserError(f"solver={self.solver!r}: choose one of {_SOLVERS}")
        if self.solver != "als":
            warn(f"solver={self.solver!r} is no longer there: the exact solver \"als\" is used")
        return Settings(self.n_archetypes, self.init, self.n_init, self.tol, self.max_iter,
                        self.loss, self.trim, self.delta).checked()

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
        raise UserError("sample_weight is zero for every row: at least one must count")
    return weight


def _generator(random_state: Any) -> np.random.Generator:
    """A generator from what scikit-learn takes as a random state, or NumPy's own."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    return np.random.default_rng(check_random_state(random_state).randint(2**31))
