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
_SHARES = (0.1, 0.01)  # of rows beyond a level, that are held against the law
_STANDARD_ERRORS = 3.0
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

        They are near the chi law (Kolmogorov-Smirnov), and as many as stated lie beyond its 1-in-10
        and 1-in-100 levels, within three binomial standard errors. The law is then the better dial.
        """
        n, law = len(self.radii), stats.chi(d)
        beyond = [abs((self.radii > law.isf(share)).mean() - share)
                  <= _STANDARD_ERRORS * np.sqrt(share * (1 - share) / n) for share in _SHARES]
        distance = stats.kstest(self.radii, law.cdf).statistic
        return bool(all(beyond) and distance <= _KS_BY_CHANCE / np.sqrt(n))

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
            tail = extremes.PeaksOverThreshold(threshold=threshold, shape=0.0).fit(radii)
        return RadiusDial(radii, tail)
    except UserError as error:  # ties, or all at one radius
        warn(f"the dial of outliers goes by the model's own law: the tail of the validation rows' "
             f"radii cannot be fitted ({error})")
        return None
