"""How rare a latent radius is among rows of the data, whatever the model's law says.

The law of a normal latent is right where the flow is. Rows that it was not trained on tell how far
their radii really go: they are counted, and beyond the furthest tenth's threshold a generalised
Pareto law goes on, whose index is at least 0.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy import stats

from flowaa import extremes
from flowaa.errors import UserError, warn
from flowaa.extremes.tails.fitted_tail import Interval
from flowaa.extremes.tails.tail_fits import PARETO, level_of

Array = jax.Array

_LEAST_ROWS = 100  # held out, fewer tell no tail
_FURTHEST = 1e18  # of a latent that is drawn, whose square float32 holds
_TAIL, _LEAST_BEYOND = 0.1, 30  # share, and number, of rows that the tail is fitted to
_MOST_RADIUS = 1e30  # stands for an infinite one
_SHARES = (0.1, 0.01, 1e-3, 1e-4)  # of rows beyond a level, that are held against the law
_BY_CHANCE = 0.0027  # three standard errors of a normal law, two-sided
_KS_BY_CHANCE = 1.63  # over √n: one sample in a hundred is further from its law by chance


@dataclasses.dataclass(frozen=True)
class RadiusDial:
    """Return periods of latent radii, in rows of the data.

    Attributes:
        radii: [N] of held-out rows, increasing.
        tail: of their largest.
    """

    radii: np.ndarray
    tail: extremes.PeaksOverThreshold

    def agrees_with_law(self, d: int) -> bool:
        """Whether the radii are those of d normal coordinates, as far as they can tell.

        They are near the chi law (Kolmogorov-Smirnov), as many as stated lie beyond its 1-in-10 to
        1-in-10 000 levels, and the furthest is no further than chance takes the furthest of so
        many; by chance one in fifty draws of the law does not. The law is then the better dial.
        """
        n, law = len(self.radii), stats.chi(d)
        beyond = [stats.binomtest(int((self.radii > law.isf(share)).sum()), n, share).pvalue
                  for share in _SHARES]
        furthest = -np.expm1(n * np.log1p(-law.sf(self.radii[-1])))
        distance = stats.kstest(self.radii, law.cdf).statistic
        return bool(min(*beyond, furthest) >= _BY_CHANCE
                    and distance <= _KS_BY_CHANCE / np.sqrt(n))

    def return_period(self, radius: ArrayLike) -> np.ndarray:
        """Rows [...] of the data until one has as large a radius; no radius is impossible.

        As far as there are held-out rows it is checked by them; beyond it is the tail's word.
        """
        return self.tail.return_period(
            np.clip(np.nan_to_num(np.asarray(radius, float), nan=_MOST_RADIUS), 0, _MOST_RADIUS))

    def radius_of(self, log_survival: ArrayLike) -> np.ndarray:
        """Radii [...] that a share exp(log_survival) of rows exceeds; 0 is exceeded by all."""
        log_survival = np.asarray(log_survival, float)
        n = len(self.radii)
        shares = np.log((n - np.arange(n) - 0.5) / n)
        counted = np.interp(-log_survival, [0.0, *-shares], [0.0, *self.radii])
        beyond = np.minimum(log_survival - np.log(self.tail.rate_), 0.0)
        fitted = self.tail.threshold_ + level_of(PARETO, self.tail.fit_.parameters, beyond)
        return np.where(beyond < 0, np.maximum(fitted, self.tail.threshold_), counted)

    def interval(self, n: float) -> Interval:
        """The radius that one row in n exceeds, with its 95 % profile-likelihood interval."""
        return self.tail.interval(n=n)

    def moved(self, z: Array, mean: ArrayLike, scale: ArrayLike) -> Array:
        """Latents [n, D] at the radii that are as rare among rows as theirs are in the law.

        Args:
            z: [n, D].
            mean: of each one's law, a number or [n, D].
            scale: its deviations, likewise.
        """
        direction = (z - mean) / scale
        radius = jnp.linalg.norm(direction, axis=1, keepdims=True)
        log_survival = extremes.chi_log_survival(radius, z.shape[1])
        found = jnp.asarray(
            np.minimum(self.radius_of(np.asarray(log_survival)), _FURTHEST), z.dtype)
        return jnp.asarray(
            mean + scale * direction * jnp.where(radius > 0, found / radius, 1.0))


class _EndlessTail(extremes.PeaksOverThreshold):
    """An exponential tail in place of one with an end, which would make a row beyond impossible.

    That the rows speak for an end is in the intervals: they reach down to those of their own shape.
    """

    def __init__(self, with_end: extremes.PeaksOverThreshold):
        """Takes the place of the fitted tail `with_end`."""
        super().__init__(threshold=with_end.threshold, shape=0.0)
        self._with_end = with_end

    def interval(
        self, name: str = "return_level", *, n: float | None = None, confidence: float = 0.95,
        kind: str = "profile",
    ) -> Interval:
        """As `PeaksOverThreshold.interval`."""
        found = super().interval(name, n=n, confidence=confidence, kind=kind)
        if name != "return_level":
            return found
        try:
            lower = self._with_end.interval(name, n=n, confidence=confidence, kind=kind).low
        except UserError:  # the likelihood of a bounded tail may have no maximum
            return found
        return found._replace(low=min(found.low, lower))


def fit_radius_dial(radii: np.ndarray) -> RadiusDial | None:
    """The dial of held-out rows' radii [N]; None where they are fewer than 100, or tell no tail."""
    is_known = radii < _MOST_RADIUS
    if not is_known.all():
        warn(f"{(~is_known).sum()} of {len(radii)} validation rows lie further out than float32 "
             "holds: the dial goes by the others")
    radii = np.sort(radii[is_known])
    if len(radii) < _LEAST_ROWS:
        return None
    # Of few rows a larger share, so that thirty are beyond the threshold.
    threshold = float(np.quantile(radii, 1 - max(_TAIL, _LEAST_BEYOND / len(radii))))
    try:
        tail = extremes.PeaksOverThreshold(threshold=threshold).fit(radii)
        if tail.shape_ < 0:  # its end would make a row beyond it impossible
            tail = _EndlessTail(tail).fit(radii)
        return RadiusDial(radii, tail)
    except UserError as error:  # ties, or all at one radius
        warn(f"the dial of outliers goes by the model's own law: the tail of the validation rows' "
             f"radii cannot be fitted ({error})")
        return None
