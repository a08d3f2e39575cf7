"""A density of table rows as a scikit-learn estimator."""

import time
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi, kstest
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from flowaa.arguments import check_memory
from flowaa.detection.tables.encoding import find_levels, to_codes
from flowaa.detection.tables.units import power_of_two
from flowaa.errors import UserError, warn
from flowaa.estimators.density_files import read_density, write_density
from flowaa.estimators.density_fit import DensitySettings, fit_density
from flowaa.estimators.inputs import (
    check_names,
    check_seconds,
    checked_array,
    checked_rows,
    random_state_of,
)
from flowaa.estimators.table_columns import fit_columns, fit_context
from flowaa.estimators.table_values import fit_values
from flowaa.estimators.tail_p_values import calibrated
from flowaa.flow.architecture import Architecture
from flowaa.training.files.compilation_cache import enable_default_cache

_TRAINING_SHARE = 0.9  # of the time; the rest is for compiling the end and for its evaluation
_BYTES_A_DRAWN_VALUE = 32  # latents, rows and their copies while they are decoded
_MOST_ROWS = 2**17  # a fit in minutes sees fewer; more would cost memory alone
_DISTRUSTED_KS = 0.15  # distance of held-out radii from their law beyond which the user is warned


class NormalizingFlow(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The density of rows, learned as a mixture of normalizing flows and simpler laws.

    Each flow brings every feature to normal scores, whitens them and goes on through coupling
    blocks of splines, which are the identity far out, so that a log-density falls there as a
    normal law's, or in the direction of a feature whose rows say so as a power. The rows are split
    into folds; a flow is trained on all but one fold and kept where it was best on that fold. A
    Gaussian mixture chosen by BIC, a multivariate t law and one of independent heavy-tailed sources
    join them, with weights that make held-out rows most likely (stacking, Smyth & Wolpert 1999):
    where rows are few or a flow fails, the simpler law holds. Components of the mixture that hold
    fewer rows than their covariance needs are left out: such rows are outliers of the table.

    What is compiled for a number of features is kept in `~/.cache/flowaa` for the next process,
    unless JAX's `JAX_COMPILATION_CACHE_DIR` or `JAX_ENABLE_COMPILATION_CACHE=0` says otherwise.

    Of a table with more than 131 072 rows as many are drawn and learned from.

    A value that at least ten rows and one in a hundred share, as zero in counts or a level in
    pictures, is learned as a narrow law, a twentieth of the gap to the next such value to either
    side (at most a fiftieth of the column's deviation); other ties with noise of 0.4 gaps. All
    that `fit` reports is of rows spread in this way. The density is one of real numbers all the
    same: at a level it is as high as that law is narrow, so compare such columns' log-likelihoods
    with those of another density only where both spread levels alike. Constant columns are left
    out of it. Categories, in columns of a data frame, and missing values are such values as well: a
    category is its place in the alphabet, a missing value a number below those of its column; rows
    drawn have categories and NaN again. A category that the fit has not seen is a value it has not
    seen.

    Args:
        architecture: "auto", chosen by the table's shape (`architecture_` after `fit`), or a
            `flowaa.flow.architecture.Architecture` for the coupling blocks.
        tails: "auto", by what a feature's outermost rows say (`tail_index_` after `fit`), or
            "gaussian": no tail falls as a power, and the heavy-tailed laws are left out.
        max_seconds: wall-clock time after which training ends; compiling for a new number of
            features may add some seconds.
        validation_fraction: of the rows, for the flow to be judged on, where the table has more
            than 10 000; below that folds are used, a fifth each.
        random_state: an integer, or a generator or `RandomState` of NumPy.
        verbose: shows a progress bar.

    Attributes:
        architecture_: the blocks' `Architecture`.
        member_weights_: name of a member → its weight in the density: "flow" (all of them),
            "gaussian_mixture", and of those there are "student_t" and "independent_t".
        tail_index_: [n_features, 2] of the flows' tails below and above: ξ, where the chance to
            exceed x falls as x^(-1/ξ), and 0 where it falls as a normal law's or where fewer than
            fifty rows of a fold, about 800 in all, could tell; the mean of folds.
        validation_score_: mean log-likelihood of rows when they were held out, in nats.
        training_score_: of the same rows after the fit; what it is higher is overfitting.
        radius_ks_: Kolmogorov-Smirnov distance of held-out rows' latent radii from chi_d. `fit`
            warns beyond 0.15: latent radii then say little of how rare a row is. `p_value` and
            `return_period` do not rest on them.
        n_steps_: training steps after which each flow was best; 0 is its untrained start.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((200, 2)) @ [[1.0, 0.9], [0.0, 0.5]]
    >>> model = NormalizingFlow(max_seconds=5, random_state=0).fit(X)
    >>> near, far = model.score_samples([[0.0, 0.0], [5.0, -5.0]])
    >>> bool(near > far)
    True
    >>> model.sample(3).shape
    (3, 2)
    """

    def __init__(
        self, *, architecture: Any = "auto", tails: str = "auto", max_seconds: float = 60.0,
        validation_fraction: float = 0.1, random_state: Any = None, verbose: bool = False,
    ) -> None:
        self.architecture = architecture
        self.tails = tails
        self.max_seconds = max_seconds
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: Any = None, *, context: ArrayLike | None = None,
            sample_weight: ArrayLike | None = None) -> "NormalizingFlow":
        """Learns the density.

        Args:
            X: [n_samples, n_features] numbers, NaN where missing, at least two rows; a pandas
                data frame may have columns of categories or strings.
            y: ignored.
            context: [n_samples, E] numbers that the density is conditional on, or None.
            sample_weight: [n_samples] non-negative; a row of weight two counts as two rows.

        Raises:
            ValueError: X, context, the weights or a parameter is not as described.
        """
        started = time.monotonic()
        enable_default_cache()
        self._check_parameters()
        check_names(X)
        levels = find_levels(X)
        if levels and not all(isinstance(name, str) for name in getattr(X, "columns", ())):
            raise UserError(f"column {next(iter(levels))} holds categories, and names of columns "
                            "are no texts: give X.set_axis(X.columns.astype(str), axis=1)")
        x = self._validated(X, levels, reset=True)
        names = getattr(self, "feature_names_in_", range(x.shape[1]))
        values = fit_values(x, levels, names)
        x = values.fill(x, names)
        weight = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise UserError("sample_weight is zero for every row: at least one must count")
        weight = weight / power_of_two(weight)  # sums of the largest would be infinite
        given = None if context is None else checked_array(context, "context")
        if given is not None and len(given) != len(x):
            raise UserError(f"context has {len(given)} rows, but X has {len(x)}: give one for each")
        random = random_state_of(self.random_state)
        used = np.flatnonzero(weight)
        if len(used) > _MOST_ROWS:
            warn(f"{_MOST_ROWS} of {len(used)} rows are drawn and learned from: a fit in minutes "
                 "sees no more")
            used = np.sort(random.choice(used, _MOST_ROWS, replace=False))
        if len(used) < len(x):
            x, weight = x[used], weight[used]
            given = None if given is None else given[used]
        scale = None if given is None else fit_context(given)
        columns = fit_columns(x, names)
        settings = DensitySettings(
            architecture=None if isinstance(self.architecture, str) else self.architecture,
            ends_at=started + _TRAINING_SHARE * float(self.max_seconds),
            validation_fraction=float(self.validation_fraction),
            seed=int(random.randint(2**31 - 1)),
            shows_progress=bool(self.verbose), has_powers=self.tails == "auto")
        fit = fit_density(columns.standardise(x),
                          None if scale is None or given is None else scale.standardise(given),
                          weight, settings)
        self._values, self._columns, self._context_scale, self._fit = values, columns, scale, fit
        self.architecture_ = fit.architecture
        self.member_weights_ = fit.named_weights
        self.n_steps_ = fit.steps
        if time.monotonic() > settings.ends_at and not fit.steps.any():
            warn(f"max_seconds={self.max_seconds:g} ended before training made the flows better "
                 "than their start: give more, or a less busy machine")
        self.tail_index_ = columns.of_all(fit.tail_indices)
        self.validation_score_ = fit.validation_score + columns.log_det
        self.training_score_ = fit.training_score + columns.log_det
        self.radius_ks_ = float(kstest(fit.held_out_radii, chi(columns.varies.sum()).cdf).statistic)
        if self.radius_ks_ > _DISTRUSTED_KS:
            warn(f"latent radii of held-out rows are {self.radius_ks_:.2f} from their law "
                 f"(Kolmogorov-Smirnov; {_DISTRUSTED_KS} is much): read no return periods off "
                 "latent radii, only off return_period; more rows, or fewer features, would help")
        return self

    def score_samples(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """log p(x) [n_samples] of each row, in nats; −inf where the density is 0 in float64."""
        x = self._rows(X)
        return (self._fit.log_prob(self._columns.standardise(x), self._given(context, len(x)))
                + self._columns.log_det)

    def score(self, X: ArrayLike, y: Any = None, *, context: ArrayLike | None = None) -> float:
        """Mean log-likelihood of rows, in nats."""
        return float(self.score_samples(X, context=context).mean())

    def p_value(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """The chance [n_samples] that a row of the data is as unlikely.

        It does not rest on the density's being right: a row's log p under each flow is held against
        that of the rows which the flow did not see, and counts as the share of them that is lower
        (cross-conformal, Vovk 2015). Of a hundred such rows or more the least likely tenth is
        replaced by a generalised Pareto law fitted to it, or an exponential one where that tenth is
        repeated values. Rows of the training table are known to the simpler laws, and come out
        a little too usual.
        """
        x = self._rows(X)
        by_flow = self._fit.log_prob_by_flow(
            self._columns.standardise(x), self._given(context, len(x)))
        sample = -self._fit.held_out_log_probs
        return np.mean([calibrated(-log_prob, sample) for log_prob in by_flow], axis=0)

    def return_period(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """How many rows of the data it takes, on average, to see one as unlikely [n_samples]."""
        return 1.0 / self.p_value(X, context=context)

    def sample(self, n_samples: int = 1, *, context: ArrayLike | None = None) -> np.ndarray:
        """Draws rows [n_samples, n_features], each given its own row of a context [n_samples, E].

        They are a data frame where the fit had categories, else an array.

        With an integer as `random_state` the same rows are drawn every time.
        """
        check_is_fitted(self, "member_weights_")
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral) or n_samples < 1:
            raise UserError(f"n_samples={n_samples!r}: it must be an integer of at least 1")
        check_memory(int(n_samples) * self.n_features_in_ * _BYTES_A_DRAWN_VALUE,
                     f"n_samples={n_samples}: they need", "draw them in parts")
        rng = np.random.default_rng(random_state_of(self.random_state).randint(2**31 - 1))
        rows = self._fit.sample(rng, int(n_samples), self._given(context, int(n_samples)))
        return self._restored(rows)

    def transform(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """Latents [n_samples, D] under the first flow, near N(0, 1)^D for rows like the data.

        D is the number of columns that vary. Latents of rows too far for float32 are infinite.
        """
        x = self._rows(X)
        return self._fit.flows[0].encode(
            self._columns.standardise(x), self._given(context, len(x)))[0].astype(np.float64)

    def inverse_transform(self, X: ArrayLike, *, context: ArrayLike | None = None) -> np.ndarray:
        """Rows [n_samples, n_features] with latents X [n_samples, D], see `transform`."""
        check_is_fitted(self, "member_weights_")
        z = checked_array(X, "X")
        if z.shape[1] != self._n_features_out:
            raise UserError(f"X has {z.shape[1]} columns, but latents have {self._n_features_out}")
        return self._restored(self._fit.flows[0].decode(z, self._given(context, len(z))))

    def save(self, path: str | Path) -> None:
        """Writes the model to the folder `path`, arrays and JSON only; see `load`."""
        check_is_fitted(self, "member_weights_")
        write_density(Path(path), self)

    @classmethod
    def load(cls, path: str | Path) -> "NormalizingFlow":
        """The model that `save` wrote to the folder `path`; no code is run from it."""
        return read_density(Path(path), cls)

    def _check_parameters(self) -> None:
        if self.architecture != "auto" and not isinstance(self.architecture, Architecture):
            raise UserError(f"architecture={self.architecture!r}: give \"auto\" or a "
                            "flowaa.flow.architecture.Architecture")
        if not isinstance(self.tails, str) or self.tails not in ("auto", "gaussian"):
            raise UserError(f"tails={self.tails!r}: give \"auto\" or \"gaussian\"")
        check_seconds(self.max_seconds)
        share = self.validation_fraction
        if not isinstance(share, Real) or not 0 < float(share) < 1:
            raise UserError(f"validation_fraction={share!r}: it must be a number between 0 and 1")

    def _validated(
        self, X: ArrayLike, levels: dict[str, tuple[str, ...]], *, reset: bool
    ) -> np.ndarray:
        """Numbers and codes [n, n_features], NaN where missing."""
        return checked_rows(
            self, to_codes(X, levels), reset=reset, least_rows=2 if reset else 1,
            allows_missing=True, remedy="it held numbers in the fit, give such rows or fit anew")

    def _restored(self, u: np.ndarray) -> Any:
        """What standardised rows [n, D] stand for."""
        names = getattr(self, "feature_names_in_", None)
        return self._values.restore(self._columns.restore(u), names)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _rows(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self, "member_weights_")
        check_names(X)
        x = self._validated(X, self._values.levels, reset=False)
        names = getattr(self, "feature_names_in_", np.arange(x.shape[1]))
        x = self._values.fill(x, names)
        changed = self._columns.changed(x)
        if len(changed):
            warn(f"column {names[changed[0]]} was constant in the fit and is not here: the "
                 "density says nothing of it")
        return x

    def _given(self, context: ArrayLike | None, n: int) -> np.ndarray | None:
        """A checked and scaled context of n rows."""
        scale = self._context_scale
        if scale is None or context is None:
            if scale is not None or context is not None:
                raise UserError("context: the density was fitted "
                                + ("without one, leave it out" if scale is None
                                   else "with one, give context=[n_samples, E]"))
            return None
        given = checked_array(context, "context")
        if given.shape != (n, len(scale.mean)):
            raise UserError(f"context has the shape {given.shape}, but {(n, len(scale.mean))} is "
                            "needed")
        return scale.standardise(given)

    @property
    def _n_features_out(self) -> int:
        return int(self._columns.varies.sum())
