"""Losses of a row's squared residual u: concave in u, so that their slope is a row weight.

Replacing a concave loss by its tangent gives a weighted least-squares problem that lies above it,
hence iteratively reweighted fits never raise the loss (Eugster & Leisch 2011, Weighted and robust
archetypal analysis, doi:10.1016/j.csda.2010.10.017). The cut-off c beyond which residuals count for
less is a multiple of the median residual norm.
"""

import numpy as np

# In medians of the residual norm. Bisquare: Cleveland (1979). Huber: his 1.345 standard
# deviations, a standard deviation of a normal variable being 1 / 0.6745 medians.
_CUTOFF_MEDIANS = {"huber": 2.0, "bisquare": 6.0}
LOSSES = ("squared", *_CUTOFF_MEDIANS)

# A residual below a thousandth of the data's scale is not an outlier's. With more archetypes than
# features most rows have next to none, and the median is taken over those that have one.
_LEAST_NORM = 1e-3


def loss_and_slope(name: str, squared: np.ndarray, cutoff: np.ndarray
                   ) -> tuple[np.ndarray, np.ndarray]:
    """The loss of squared residuals and its derivative with respect to them.

    Args:
        name: one of LOSSES; "squared" is u itself.
        squared: [R, n] squared residual norms u.
        cutoff: [R] the norm c beyond which the loss grows as c√u (huber) or not at all (bisquare);
            infinite before any residual is known.
    """
    if name == "squared":
        return squared, np.ones_like(squared)
    limit = np.minimum(cutoff, np.sqrt(np.finfo(float).max))[:, None]
    inside = squared <= limit**2
    if name == "huber":
        norm = np.sqrt(np.where(inside, 1.0, squared))
        return (np.where(inside, squared, limit * (2.0 * norm - limit)),
                np.where(inside, 1.0, limit / norm))
    shrink = np.where(inside, 1.0 - squared / limit**2, 0.0)
    # c²/3 · (1 − (1 − u/c²)³), written so that it is u itself where c is infinite
    share = np.where(inside, squared / limit**2, 1.0)
    value = np.where(inside, squared, limit**2) * (1.0 - share + share**2 / 3.0)
    return value, shrink**2


def next_cutoff(name: str, cutoff: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """The cut-offs [R] for the next round; they never grow, so that the loss never does."""
    if name == "squared":
        return cutoff
    medians = np.array([np.median(norms[norms > _LEAST_NORM])
                        if (norms > _LEAST_NORM).any() else 0.0 for norms in np.sqrt(squared)])
    return np.minimum(cutoff, _CUTOFF_MEDIANS[name] * np.maximum(medians, _LEAST_NORM))
