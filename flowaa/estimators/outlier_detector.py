"""Which rows of a table do not belong, as a scikit-learn outlier estimator.

Longer than other files, since it is one class: each method is a door before `detection/tables/`.
"""

import dataclasses
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from flowaa.detection.conformal import benjamini_hochberg, p_values, weighted_p_values
from flowaa.detection.tables.columns import fit_columns
from flowaa.detection.tables.default_members import (
    default_members,
    make_plan,
    members_of_one_unit,
    screening_members,
)
from flowaa.detection.tables.encoding import find_levels, fit_encoding, from_codes, to_codes
from flowaa.detection.tables.ensemble import fit_ensemble
from flowaa.detection.tables.explanation import Explanation, explain
from flowaa.detection.tables.units import deviations
from flowaa.errors import UserError, warn
from flowaa.estimators.fold_rows import first_of_copies
from flowaa.estimators.inputs import (
    check_names,
    check_seconds,
    checked_rows,
    checked_weights,
    random_state_of,
)
from flowaa.estimators.outlier_files import read_detector, write_detector

_ALARM = 0.05  # false-alarm rate of `predict` where no contamination is stated
_CHUNK = 8_192  # rows scored at a time
_LEFT_OUT = 2  # training rows left out of the fit, for each stated outlier
_CAUTIOUS_K = 5  # neighbour that counts where outliers may be left
_REPEATED = 0.01  # share of repeated rows above which equal rows are not taken for the same row
_COPIES = 0.05  # share of copies of rows up to which they move p-values by little
_LEAST_CALIBRATION = 1_000  # rows left over by training that calibrate in its place
_MOST_CALIBRATION = 20_000


class OutlierDetector(OutlierMixin, BaseEstimator):
    """Scores rows by how little they look like the training rows, with p-values.

    The score puts together the evidence of several members, each −log of the chance that an
    inlier scores as high by it: distances to the nearest row in six metrics, a kernel density, the
    Gaussian copula, the planes that near rows lie on, trees that tell inliers from rows made of
    them, and features predicted from the other features.
    Everything is fitted without outliers, and nothing is tuned to a table.

    Scores of training rows are by fits without them: a row equal to a training row gets that
    score, unless `contamination` is "auto" and more than 1 % of the training rows are repeated.

    Columns that are all levels of one scale, integers of one range as pixels and ratings have,
    keep their common unit (`has_one_unit_`); others are scaled by their own deviations.

    Args:
        contamination: share of the training rows that are outliers, above 0 and at most 0.5. The
            most outlying rows, twice that share, are left out of the fit, neighbours are the
            fifth, and as many training rows as stated are predicted to be outliers. P-values
            and `flag` hold only as far as the share is true: where fewer rows are outliers, the
            furthest inliers are taken for them, and new inliers raise more alarms than promised.
            "auto": all training rows are inliers, and `predict` raises 5 % false alarms.
        max_seconds: about how long a fit may take on two cores; less than 60 makes the ensemble
            smaller. Of more rows than the time allows, some are drawn; others calibrate.
        random_state: an integer, or a generator or `RandomState` of NumPy.

    Attributes:
        offset_: `score_samples` at which `decision_function` is 0.
        calibration_: [k] outlier scores of inliers by fits without them, increasing.
        n_rows_: rows that the members were fitted to.
        has_one_unit_: whether the columns were taken for levels of one scale.
        n_features_in_: D.

    >>> rng = np.random.default_rng(0)
    >>> detector = OutlierDetector(max_seconds=1, random_state=0).fit(rng.normal(size=(200, 3)))
    >>> detector.predict([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]).tolist()
    [1, -1]
    """

    def __init__(
        self, *, contamination: str | float = "auto", max_seconds: float = 60.0,
        random_state: Any = None,
    ) -> None:
        self.contamination = contamination
        self.max_seconds = max_seconds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> "OutlierDetector":
        """Learns what inliers look like.

        Args:
            X: [n_samples, n_features] numbers, NaN where missing, at least two rows; a pandas
                data frame may have columns of categories or strings.
            y: ignored.

        Raises:
            ValueError: X or a parameter is not as described.
        """
        before = dict(self.__dict__)
        try:
            return self._fit(X)
        except BaseException:  # an interrupt as well: the fit of before is as it was
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(self, X: ArrayLike) -> "OutlierDetector":
        """`fit`, which may fail half-way."""
        self._check_parameters()
        check_names(X)
        self._levels = find_levels(X)
        x = self._checked(X, reset=True)
        first = first_of_copies(x)
        if len(x) - len(first) > _COPIES * len(x):
            # Without a row its copy would be nearer to it than anything is to a new row.
            warn(f"{len(x) - len(first)} of {len(x)} rows are copies of others and left out: "
                 "p-values are for rows that are not")
            x = x[first]
        seed = int(random_state_of(self.random_state).randint(2**31))
        order = np.random.default_rng(seed).permutation(len(x))
        plan = make_plan(len(x), x.shape[1], float(self.max_seconds))
        if plan.n_rows < len(x):
            warn(f"{plan.n_rows} of {len(x)} rows are drawn and fitted to, as many as max_seconds="
                 f"{self.max_seconds:g} allows")
        self._fit_rows(x[np.sort(order[:plan.n_rows])], seed, len(x))
        left = x[order[plan.n_rows:][:_MOST_CALIBRATION]]
        if len(left) >= _LEAST_CALIBRATION and self.contamination == "auto":
            self._calibrate(self._outlier_scores(left))
        return self

    def _fit_rows(self, x: np.ndarray, seed: int, n_seen: int) -> None:
        """Fits all members to rows x [n, D]; the same rows and seed give the same fit."""
        random = np.random.default_rng(seed)
        self._seed, self._train, self._n_seen = seed, x, n_seen
        names = getattr(self, "feature_names_in_", range(x.shape[1]))
        self._encoding = fit_encoding(
            x, tuple(len(self._levels.get(str(name), ())) for name in names))
        kept = np.ones(len(x), bool)
        n_outliers = 0
        if self.contamination != "auto":
            n_outliers = round(float(self.contamination) * len(x))
            if not n_outliers:
                warn(f"contamination={self.contamination:g} of {len(x)} rows is no row: all are "
                     "taken for inliers")
            n_left_out = min(_LEFT_OUT * n_outliers, len(x) // 2)
            if len(x) - n_left_out < 2:
                raise UserError(f"contamination={self.contamination:g} leaves one of {len(x)} rows "
                                "to learn from: give more rows or a smaller share")
            encoded = self._encoding.encode(x)
            columns = fit_columns(encoded, n_of_one_unit=self._encoding.n_of_one_unit)
            screened = fit_ensemble(
                screening_members(n_outliers), columns.standardise(encoded), random).own
            kept[np.argsort(-screened, kind="stable")[:n_left_out]] = False
        self.has_one_unit_ = self._encoding.n_of_one_unit > 0
        self._inliers = x[kept]
        encoded = self._encoding.encode(self._inliers)
        self._columns = fit_columns(encoded, n_of_one_unit=self._encoding.n_of_one_unit)
        plan = make_plan(n_seen, x.shape[1], float(self.max_seconds))
        choose = members_of_one_unit if self._encoding.n_of_one_unit else default_members
        members = choose(plan, k=1 if self.contamination == "auto" else _CAUTIOUS_K)
        fitted = fit_ensemble(members, self._columns.standardise(encoded), random)
        self._score = fitted.score
        fitted_own = fitted.own + self._columns.own_novelty()
        self._known: dict[bytes, float] = {}
        own = np.empty(len(x))
        own[kept] = fitted_own
        if not kept.all():
            own[~kept] = self._outlier_scores(x[~kept])
        n_repeated = len(x) - len(np.unique(x, axis=0))
        if self.contamination != "auto" or n_repeated <= _REPEATED * len(x):
            self._known = dict(zip(map(_key, x), own, strict=True))
        self.n_rows_ = int(kept.sum())
        # Of the rows left out some are inliers, the furthest: without them p-values were too small.
        self._calibrate(np.sort(own)[:len(own) - n_outliers])
        if self.contamination != "auto":
            self.offset_ = float(np.percentile(-own, 100 * float(self.contamination)))

    def _calibrate(self, scores: np.ndarray) -> None:
        """Takes scores [k] of inliers that were not seen as those that others are held against."""
        self.calibration_ = np.sort(scores)
        if self.contamination == "auto":
            # The score that has a p-value of `_ALARM`, or above all scores if there is none.
            k = int(np.floor(_ALARM * (len(scores) + 1)))
            limit = self.calibration_[-k] if k else self.calibration_[-1] + 1e-9
            self.offset_ = float(-np.nextafter(limit, -np.inf))

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Minus the evidence [n_samples] that rows are outliers: larger = more normal."""
        return -self._outlier_scores(self._checked(X), use_known=True)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """`score_samples` less `offset_`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> np.ndarray:
        """1 for inliers, −1 for outliers [n_samples]."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_value(self, X: ArrayLike) -> np.ndarray:
        """The chance [n_samples] that an inlier scores as high, from inliers not seen.

        Conformal, so that p ≤ α for a share α of the inliers. In the upper tail, where the
        calibrating rows are too few to count, by a generalised Pareto law of their largest scores;
        fewer than a hundred do not tell such a law, and none of their p-values is below 1/(k + 1).
        """
        from flowaa.estimators.tail_p_values import calibrated  # JAX is imported only for p-values

        return calibrated(-self.score_samples(X), self.calibration_)

    def shifted_p_value(
        self, X: ArrayLike, weight: ArrayLike, *, inliers: ArrayLike, inlier_weight: ArrayLike,
    ) -> np.ndarray:
        """p-values [n_samples] where new rows are not drawn as the training rows were.

        More old patients than in training, say, and age is a feature: what raises no alarm in
        training does then. With w = p_new / p_old, the ratio of the densities of what has shifted,
        stated or estimated, P(p ≤ α) ≤ α holds for new inliers (Tibshirani et al. 2019).

        Args:
            X: [n_samples, n_features] rows.
            weight: [n_samples] w of them, at least 0.
            inliers: [n, n_features] rows drawn as those of the fit, but not among them.
            inlier_weight: [n] w of these, not all 0.

        Raises:
            ValueError: weights are not as described.
        """
        x, known = self._checked(X), self._checked(inliers)
        weights = [checked_weights(values, name, len(rows)) for values, name, rows in (
            (weight, "weight", x), (inlier_weight, "inlier_weight", known))]
        if not weights[1].any():
            raise UserError("inlier_weight is 0 everywhere: new rows are unlike every inlier, and "
                            "these say nothing of them; give inliers from where new rows are")
        return weighted_p_values(self._outlier_scores(x), weights[0],
                                 self._outlier_scores(known), weights[1])

    def return_period(self, X: ArrayLike) -> np.ndarray:
        """How many inliers it takes, on average, to see one as far out [n_samples]."""
        return 1.0 / self.p_value(X)

    def flag(self, X: ArrayLike, *, fdr: float = 0.1) -> np.ndarray:
        """Rows to call outliers [n_samples], of which a share `fdr` on average are none.

        By counted p-values, of which none is below 1/(k + 1) for k calibrating rows: with few of
        them nothing is flagged unless many rows are outliers. Those of `p_value` go on below that
        by a fitted law, whose errors would break the promise where it counts.

        Raises:
            ValueError: if fdr is not between 0 and 1.
        """
        counted = p_values(-self.score_samples(X), self.calibration_)
        flagged = benjamini_hochberg(counted, fdr)
        least, n_beyond = 1 / (len(self.calibration_) + 1), int((counted <= counted.min()).sum())
        n_needed = int(np.ceil(least * len(counted) / fdr))
        if not flagged.any() and counted.min() <= least and n_beyond < n_needed:
            warn(f"no row is flagged: {len(self.calibration_)} calibrating rows give no p-value "
                 f"below {least:.2g}, of which fdr={fdr:g} would take {n_needed} of "
                 f"{len(counted)} rows, and there are {n_beyond}; fit to more rows, raise fdr, or "
                 "rank by score_samples")
        return flagged

    def explain(self, X: ArrayLike) -> Explanation:
        """Why rows are outliers; see `flowaa.detection.tables.explanation.Explanation`.

        Of a data frame, nearest inlier and counterfactual are data frames with its columns.
        """
        x = self._checked(X)
        found = explain(x, self._inliers, deviations(self._inliers), self._outlier_scores,
                        -self.offset_)
        return dataclasses.replace(
            found, nearest_inlier=from_codes(found.nearest_inlier, X, self._levels),
            counterfactual=from_codes(found.counterfactual, X, self._levels))

    def save(self, path: str | Path) -> None:
        """Writes one .npz file: the rows fitted to, parameters and scores; no pickle."""
        check_is_fitted(self, "offset_")
        write_detector(Path(path), self)

    @classmethod
    def load(cls, path: str | Path) -> "OutlierDetector":
        """Reads what `save` wrote and fits again, to the same scores.

        Raises:
            ValueError: if the file is not one that `save` wrote, or is damaged.
        """
        return read_detector(Path(path), cls)

    def __getstate__(self) -> dict[str, Any]:
        """All but the fitted members, which the rows and the seed make again."""
        return {name: value for name, value in super().__getstate__().items()
                if name != "_score"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_train" in self.__dict__:
            calibration = self.calibration_
            self._fit_rows(self._train, self._seed, self._n_seen)
            self._calibrate(calibration)

    def _outlier_scores(self, x: np.ndarray, use_known: bool = False) -> np.ndarray:
        """Evidence [m] of checked rows [m, D]."""
        parts = [self._encoding.encode(part)
                 for part in np.array_split(x, max(1, -(-len(x) // _CHUNK)))]
        scores = np.concatenate([
            self._score(self._columns.standardise(part)) + self._columns.novelty(part)
            for part in parts])
        if use_known and self._known:
            known = [self._known.get(_key(row)) for row in x]
            is_known = np.array([score is not None for score in known])
            scores[is_known] = [score for score in known if score is not None]
        return scores

    def _checked(self, X: ArrayLike, *, reset: bool = False) -> np.ndarray:
        """Rows [m, D] of numbers and codes."""
        if not reset:
            check_is_fitted(self, "offset_")
            check_names(X)
        return checked_rows(
            self, to_codes(X, self._levels), reset=reset, least_rows=2 if reset else 1,
            allows_missing=True, remedy="it held numbers in the fit, give such rows or fit anew")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _check_parameters(self) -> None:
        check_seconds(self.max_seconds)
        share = self.contamination
        if share != "auto" and not (isinstance(share, Real) and 0 < float(share) <= 0.5):
            raise UserError(f"contamination={share!r}: it must be 'auto' or a number above 0 and "
                            "at most 0.5")


def _key(row: np.ndarray) -> bytes:
    """Equal for equal rows; 0 and −0 are."""
    return (row + 0.0).tobytes()
