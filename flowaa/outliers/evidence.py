"""What a flow says of rows: their density, latents and radii; also as a detector's evidence."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from flowaa.bijectors.base import bound
from flowaa.bijectors.radial_tail import RadialTail
from flowaa.bijectors.tail_transform import TailTransform
from flowaa.data.dataset import Dataset, Split
from flowaa.data.rows import read_all
from flowaa.detection.evidence import evidence_scale
from flowaa.detection.model import FlowEvidence
from flowaa.flow.base_distribution import ClassMixture
from flowaa.flow.density import MIDDLE_OF_LEVEL, Density
from flowaa.flow.noisy_simplex import NoisySimplex, NoisySimplexLaw
from flowaa.training.state import Params

Array = jax.Array

_ROWS = 2_000  # of a split, that quantiles are taken of


class FlowStatistics(NamedTuple):
    """What a flow says of rows."""

    nll: Array  # [n] −log p(x), nats: of the given class, or of all
    radius: Array  # [n] of the latent, in deviations from the given or the nearest class's centre
    z: Array  # [n, D] latent, of the given or the most probable class


@functools.partial(jax.jit, static_argnums=0)
def flow_statistics(
    density: Density, params: Params, x: Array, label: Array | None = None
) -> FlowStatistics:
    """What a flow says of x [n, *shape] in data units.

    Without label [n] every class is equally likely; that costs one encoding for each class where
    the flow is conditional.
    """
    def of_class(label: Array | None) -> FlowStatistics:
        z, log_det = density.encode(params, x, label, MIDDLE_OF_LEVEL)
        log_prob = density.far_out(
            bound(density.flow, params).latent_log_prob(z, label) + log_det, x)
        radius = latent_radius(density, params, z, label)
        radius = jnp.where(jnp.isnan(radius) & jnp.isneginf(log_prob), jnp.inf, radius)
        return FlowStatistics(-log_prob, radius, z)

    n_conditions = density.flow.n_condition_classes
    if not n_conditions or label is not None:
        return of_class(label)
    nll, radius, z = jax.lax.map(
        lambda index: of_class(jnp.full(len(x), index)), jnp.arange(n_conditions))
    return FlowStatistics(jnp.log(n_conditions) - jax.nn.logsumexp(-nll, axis=0), radius.min(0),
                          z[nll.argmin(0), jnp.arange(len(x))])


def latent_radius(density: Density, params: Params, z: Array, label: Array | None) -> Array:
    """Distance [n] of latents from the centre of their class, in its deviations.

    Where latents have a Gaussian for each class and no label is given, from the nearest.
    """
    if label is None and isinstance(density.flow.base, ClassMixture):
        def of_class(index: Array) -> Array:
            return latent_radius(density, params, z, jnp.full(len(z), index))

        return jax.lax.map(of_class, jnp.arange(density.flow.base.n_classes)).min(0)
    mean, scale = moments(density, params, label)
    return jnp.linalg.norm((z - mean) / scale, axis=-1)


def marginal_log_prob(density: Density, params: Params, x: Array) -> Array:
    """log p(x) [n] in nats, whatever the class: every class is equally likely."""
    return -flow_statistics(density, params, x).nll


def has_classes(density: Density) -> bool:
    """Whether the model's latents or its flow depend on a class."""
    return n_classes(density) > 0


def n_classes(density: Density) -> int:
    """How many classes the latents or the flow tell apart; 0 where none."""
    base = density.flow.base
    of_base = base.n_classes if isinstance(base, ClassMixture) else 0
    return max(density.flow.n_condition_classes, of_base)


def moments(
    density: Density, params: Params, label: Array | None, stretch: float = 1.0
) -> tuple[ArrayLike, ArrayLike]:
    """Mean and standard deviation of the latents' law, [n, D] for each row's class, or numbers."""
    if isinstance(density.flow.base, NoisySimplex):
        law = simplex_law(density, params)
        return law.mean(), stretch * law.stddev()
    if not isinstance(density.flow.base, ClassMixture):
        return 0.0, stretch
    assert label is not None, "each class has moments of its own"
    mean, scale = bound(density.flow, params).latent_moments(label)
    return mean, stretch * scale


def has_normal_latents(density: Density) -> bool:
    """Whether latents are normal, given the class where there is one: their radii follow chi."""
    return not isinstance(density.flow.base, NoisySimplex)


def has_power_tails(density: Density) -> bool:
    """Whether the flow makes of normal latents tails that fall as a power."""
    return any(isinstance(block, TailTransform | RadialTail)
               for block in density.flow.bijector.blocks)


def simplex_law(
    density: Density, params: Params, stretch: float = 1.0
) -> NoisySimplexLaw:
    """The law of the latents of a density whose base is a `NoisySimplex`, its noise stretched."""
    law = bound(density.flow, params).base(None, stretch)
    assert isinstance(law, NoisySimplexLaw)
    return law


def statistics(density: Density) -> Callable[[Params, Array], Array]:
    """A function of the flow's parameters and x to −log p(x) in nats and the latent norm [B, 2]."""
    return lambda params, x: jnp.stack(flow_statistics(density, params, x)[:2], axis=1)


def split_statistics(density: Density, flow_params: Params, split: Split) -> np.ndarray:
    """−log p(x) in nats and latent norms [N, 2] of a split's first rows; infinite for NaN."""
    x = read_all(split.x)[:_ROWS]
    found = statistics(density)(flow_params, jnp.asarray(x))
    return np.nan_to_num(np.asarray(found, float), nan=np.inf)


def flow_evidence(density: Density, flow_params: Params, dataset: Dataset) -> FlowEvidence:
    """The evidence of a trained flow, in the scales of its data's splits."""
    held_out, seen = (evidence_scale(split_statistics(density, flow_params, split))
                      for split in (dataset.validation, dataset.train))
    return FlowEvidence(statistics(density), held_out, seen)
