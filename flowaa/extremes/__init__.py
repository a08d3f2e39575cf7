"""Extreme-value laws and the samplers built on them.

- `chi`: the law of the radius of a standard normal vector, and return periods; `gumbel`: the law of
  the largest of n.
- `generalised`: the generalised extreme value and Pareto laws; `tails`: their fits to data, with
  return levels and intervals, whether a tail falls as a power, and which features carry it.
- `shell`, `exterior`, `ambient`: outliers on a shell, beyond the archetypes' simplex, or made in
  data space.

`extremeness` is the return period n: how many typical draws it takes until one is as far out.
`sample_shell` puts its draws at the radius that one draw in n exceeds (or beyond it),
`sample_gumbel` draws like the furthest of n. Beyond the simplex (`sample_exterior`) the dial is the
gauge, 1 on the boundary; `gauge_return_level` gives the gauge of a return period.
"""

from typing import Any

from flowaa.extremes.ambient import add_noise, mix_up, permute_features, sample_box
from flowaa.extremes.chi import (
    chi_log_cdf,
    chi_log_prob,
    chi_log_survival,
    chi_moments,
    chi_quantile,
    chi_quantile_from_log_survival,
    chi_return_level,
    chi_return_period,
)
from flowaa.extremes.exterior import (
    distance_to_simplex,
    gauge,
    gauge_return_level,
    sample_exterior,
    sample_given_projection,
)
from flowaa.extremes.generalised import GeneralisedExtremeValue, GeneralisedPareto
from flowaa.extremes.gumbel import gumbel_of_normal, gumbel_of_radius, sample_gumbel
from flowaa.extremes.sampling import stream
from flowaa.extremes.shell import sample_shell
from flowaa.extremes.tails.block_maxima import BlockMaxima, block_maxima
from flowaa.extremes.tails.directions import feature_shares, tail_dependence
from flowaa.extremes.tails.heavy_tails import UpperTail, fit_upper_tail
from flowaa.extremes.tails.peaks_over_threshold import PeaksOverThreshold
from flowaa.extremes.tails.thresholds import (
    choose_threshold,
    cluster_maxima,
    hill,
    mean_residual_life,
    moment,
    pickands,
)

__all__ = [
    "BlockMaxima",
    "GeneralisedExtremeValue",
    "GeneralisedPareto",
    "PeaksOverThreshold",
    "UpperTail",
    "add_noise",
    "block_maxima",
    "chi_log_cdf",
    "chi_log_prob",
    "chi_log_survival",
    "chi_moments",
    "chi_quantile",
    "chi_quantile_from_log_survival",
    "chi_return_level",
    "chi_return_period",
    "choose_threshold",
    "cluster_maxima",
    "distance_to_simplex",
    "feature_shares",
    "fit_upper_tail",
    "gauge",
    "gauge_return_level",
    "gumbel_of_normal",
    "gumbel_of_radius",
    "hill",
    "mean_residual_life",
    "mix_up",
    "moment",
    "permute_features",
    "pickands",
    "sample_box",
    "sample_exterior",
    "sample_given_projection",
    "sample_gumbel",
    "sample_shell",
    "stream",
    "tail_dependence",
]

_REMOVED = {  # name of version 0.1.0 -> what does its work
    "Chi": "the functions chi_*",
    "chi_quantile_from_log_cdf": "chi_quantile",
    "exterior_extremeness": "gauge_return_level",
    "GumbelFit": "BlockMaxima",
    "fit_gumbel": "BlockMaxima(shape=0).fit",
    "normal_log_survival": "jax.scipy.stats.norm.logsf",
    "normal_quantile_from_log_survival": "scipy.special.ndtri_exp",
    "Rejection": "numpy.quantile of log densities",
    "reject_inliers": "numpy.quantile of log densities",
    "return_level": "BlockMaxima.return_level",
    "return_period": "1 / law.survival_function(level)",
    "sample_axis": "sample_gumbel with d=1, put into one coordinate",
    "sample_direction": "sample_given_projection",
}


def __getattr__(name: str) -> Any:
    """Says what replaces a name that was removed."""
    instead = f"; use {_REMOVED[name]}" if name in _REMOVED else ""
    removed = "was removed" if instead else "does not exist"
    raise AttributeError(f"flowaa.extremes.{name} {removed}{instead}")
