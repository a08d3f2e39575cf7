"""Extreme-value laws and the samplers built on them.

One dial, `extremeness`, is the return period n: how many typical draws it takes until one is as
far out. `sample_shell` puts its draws at the radius that one draw in n exceeds (or beyond it),
`sample_gumbel` draws like the furthest of n, `sample_axis` and `sample_direction` do so along a
line. Beyond the simplex (`sample_exterior`) the dial is the gauge, 1 on the boundary;
`exterior_extremeness` gives the gauge of a return period.
"""

from flowaa.extremes.ambient import add_noise, mix_up, permute_features, sample_box
from flowaa.extremes.block_maxima import GumbelFit, block_maxima, fit_gumbel
from flowaa.extremes.chi import (
    chi_log_cdf,
    chi_log_prob,
    chi_log_survival,
    chi_quantile,
    chi_quantile_from_log_cdf,
    chi_quantile_from_log_survival,
    chi_return_level,
    chi_return_period,
)
from flowaa.extremes.conditional import sample_given_projection
from flowaa.extremes.distribution import Chi
from flowaa.extremes.exterior import (
    distance_to_simplex,
    exterior_extremeness,
    gauge,
    gauge_return_level,
    sample_exterior,
)
from flowaa.extremes.gumbel import gumbel_of_normal, gumbel_of_radius, return_level, return_period
from flowaa.extremes.maximum import sample_axis, sample_direction, sample_gumbel
from flowaa.extremes.moments import chi_moments
from flowaa.extremes.normal import normal_log_survival, normal_quantile_from_log_survival
from flowaa.extremes.rejection import Rejection, reject_inliers
from flowaa.extremes.shell import sample_shell
from flowaa.extremes.stream import stream

__all__ = [
    "Chi",
    "GumbelFit",
    "Rejection",
    "add_noise",
    "block_maxima",
    "chi_log_cdf",
    "chi_log_prob",
    "chi_log_survival",
    "chi_moments",
    "chi_quantile",
    "chi_quantile_from_log_cdf",
    "chi_quantile_from_log_survival",
    "chi_return_level",
    "chi_return_period",
    "distance_to_simplex",
    "exterior_extremeness",
    "fit_gumbel",
    "gauge",
    "gauge_return_level",
    "gumbel_of_normal",
    "gumbel_of_radius",
    "mix_up",
    "normal_log_survival",
    "normal_quantile_from_log_survival",
    "permute_features",
    "reject_inliers",
    "return_level",
    "return_period",
    "sample_axis",
    "sample_box",
    "sample_direction",
    "sample_exterior",
    "sample_given_projection",
    "sample_gumbel",
    "sample_shell",
    "stream",
]
