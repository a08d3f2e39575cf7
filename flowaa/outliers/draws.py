"""Outliers of a trained flow: drawn in its latent space at a stated extremeness, and decoded.

Here the samplers of `flowaa.extremes`, which know no flow, meet a density, which knows no extremes.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.special import gammaln

from flowaa import extremes
from flowaa.bijectors.base import bound
from flowaa.errors import UserError
from flowaa.flow.density import MIDDLE_OF_LEVEL, Density
from flowaa.outliers.beyond_simplex import draw_beyond, gauge_period
from flowaa.outliers.evidence import (
    has_classes,
    has_normal_latents,
    latent_radius,
    moments,
    n_classes,
    simplex_law,
)
from flowaa.outliers.plane import (
    ArchetypePlane,
    coordinates,
    draw_exterior,
    gauge_return_period,
)
from flowaa.training.state import Params

Array = jax.Array

METHODS = ("shell", "gumbel", "simplex")  # the last in runs that have archetypes


class Latents(NamedTuple):
    """Draws in the latent space, and the class of each."""

    z: Array  # [n, D]
    label: Array | None  # [n] int32; None in runs that know no classes


class Numbers(NamedTuple):
    """What is said of every outlier.

    A return period is the mean number of the model's draws until one lies as far out: at as large a
    radius about the nearest class, or for method "simplex" at as large a gauge. It is a lower bound
    where classes overlap, since a draw of one class can lie near another.
    """

    log_prob: Array  # [n] nats, in data units
    radius: Array  # [n] of the latent, in deviations from the centre of its own class
    return_period: Array  # [n] in draws of the whole model
    class_return_period: Array | None  # [n] in draws of its own class, where there are classes
    nearest_archetype: Array | None  # [n] int32, where the run has archetypes
    hull_distance: Array | None  # [n] of the archetype coordinates from the simplex; 0 within


def draw_latents(
    density: Density, params: Params, key: Array, n: int, *, method: str, extremeness: ArrayLike,
    label: Array | None = None, plane: ArchetypePlane | None = None, stretch: float = 1.0,
) -> Latents:
    """Draws latents as far out as one in `extremeness` of the model's own.

    Args:
        density: the model.
        params: its parameters.
        key: a random key.
        n: draws.
        method: "shell": at the radius that one draw in `extremeness` exceeds; "gumbel": like the
            furthest of so many; "simplex": in the archetypes' plane, as far beyond their simplex
            as one draw in so many, and ordinary across it.
        extremeness: return period in draws, at least 1, a number or [n].
        label: [n] classes. Where the model has classes and none are given, they are drawn, each
            equally likely.
        plane: of the archetypes, for "simplex".
        stretch: factor on the standard deviations of the latents' law.

    Raises:
        UserError: the method is unknown or wants archetypes, or extremeness is out of range.
    """
    class_key, latent_key = jax.random.split(key)
    if label is None and has_classes(density):
        label = jax.random.randint(class_key, (n,), 0, n_classes(density))
    if method in METHODS and not has_normal_latents(density):
        if method != "simplex":
            require_normal_latents(density, f"method {method}")
        law = simplex_law(density, params, stretch)
        return Latents(draw_beyond(law, latent_key, n, extremeness=extremeness), label)
    mean, scale = moments(density, params, label, stretch)
    if method == "simplex":
        if plane is None:
            raise UserError("method simplex: this run has no archetypes; train with "
                            "config.archetypes.n_archetypes=3, or take shell or gumbel")
        return Latents(draw_exterior(plane, latent_key, n, extremeness=extremeness, label=label,
                                     mean=mean, scale=scale), label)
    samplers: dict[str, Callable[..., Array]] = {
        "shell": extremes.sample_shell, "gumbel": extremes.sample_gumbel}
    if method not in samplers:
        raise UserError(f"method is {method!r}; choose one of {', '.join(METHODS)}")
    d = density.flow.n_dims
    z = samplers[method](latent_key, n, d, extremeness=extremeness, mean=mean, scale=scale)
    return Latents(z, label)


def require_normal_latents(density: Density, what: str) -> None:
    """Raises a `UserError` where the latents' radii follow no normal law's."""
    if not has_normal_latents(density):
        raise UserError(f"{what}: with flow.base=simplex latents are no normal law, whose radii it "
                        "goes by; take simplex, or train with flow.base=normal")


def draw_between(
    density: Density, params: Params, key: Array, n: int, *, nearest: float, furthest: float,
    stretch: float = 1.0,
) -> Latents:
    """Draws on shells whose radii lie evenly between those of two return periods.

    So a detector sees what lies just outside as well as what lies far out, whatever the dimension.

    Args:
        density: the model.
        params: its parameters.
        key: a random key.
        n: draws.
        nearest: the smaller return period, in draws.
        furthest: the larger one.
        stretch: factor on the standard deviations of the latents' law.
    """
    share_key, latent_key = jax.random.split(key)
    low, high = (extremes.chi_return_level(period, density.flow.n_dims)
                 for period in (nearest, furthest))
    radius = low + (high - low) * jax.random.uniform(share_key, (n, 1))
    # At a return period of 1 the shell is the centre: directions are drawn on the unit sphere.
    unit = draw_unit_latents(density, latent_key, n)
    mean, scale = moments(density, params, unit.label, stretch)
    return Latents(jnp.asarray(mean + scale * radius * unit.z), unit.label)


def between_log_prob(
    density: Density, params: Params, x: Array, *, nearest: float, furthest: float,
    stretch: float = 1.0,
) -> Array:
    """Log density [n] in nats, in data units, of the decoded draws of `draw_between`.

    Minus infinity where there are none. Where the model has classes, each is equally likely. x is
    [n, *shape] in data units, the middle of a level where data has levels.
    """
    d = density.flow.n_dims
    low, high = (extremes.chi_return_level(period, d) for period in (nearest, furthest))
    log_area = np.log(2.0) + 0.5 * d * np.log(np.pi) - gammaln(0.5 * d)  # of the unit sphere

    def of_class(label: Array | None) -> Array:
        z, log_det = density.encode(params, x, label, MIDDLE_OF_LEVEL)
        mean, scale = moments(density, params, label, stretch)
        # A centre has no direction, and a gradient of its radius is not asked for.
        radius = jnp.maximum(jnp.linalg.norm((z - mean) / scale, axis=-1), 1e-30)
        log_prob = log_det - (d - 1) * jnp.log(radius) - log_area - jnp.log(high - low)
        log_prob -= (jnp.log(scale) * jnp.ones_like(z)).sum(-1)
        return jnp.where((low <= radius) & (radius <= high), log_prob, -jnp.inf)

    if not has_classes(density):
        return of_class(None)
    count = n_classes(density)
    log_probs = jax.lax.map(lambda label: of_class(jnp.full(len(x), label)), jnp.arange(count))
    return jax.nn.logsumexp(log_probs, axis=0) - jnp.log(count)


def draw_unit_latents(density: Density, key: Array, n: int) -> Latents:
    """Directions [n, D] of length one, uniform, and a class for each."""
    class_key, direction_key = jax.random.split(key)
    label = None
    if has_classes(density):
        label = jax.random.randint(class_key, (n,), 0, n_classes(density))
    return Latents(extremes.sample_shell(direction_key, n, density.flow.n_dims, radius=1.0), label)


@functools.partial(jax.jit, static_argnums=0)
def numbers(
    density: Density, params: Params, x: Array, z: Array, label: Array | None,
    plane: ArchetypePlane | None = None, *, by_gauge: bool | Array = False,
) -> Numbers:
    """The numbers of outliers.

    Args:
        density: the model.
        params: its parameters.
        x: [n, *shape] in data units.
        z: [n, D] their latents, before decoding: data that is rounded to levels has others.
        label: [n] their classes, or None.
        plane: of the archetypes, if the run has any.
        by_gauge: whether periods are those of the gauge, as for draws of "simplex", not the radius.
    """
    archetype = distance = None
    if plane is not None:
        weights = coordinates(plane, z, label)
        archetype, distance = weights.argmax(-1), extremes.distance_to_simplex(weights)

    def period(z: Array, label: Array | None) -> Array:
        if not has_normal_latents(density):
            return gauge_period(simplex_law(density, params), z)
        radius = latent_radius(density, params, z, label)
        of_radius = extremes.chi_return_period(radius, density.flow.n_dims)
        if plane is None:
            return of_radius
        mean, scale = moments(density, params, label)
        of_gauge = gauge_return_period(plane, z, label=label, mean=mean, scale=scale)
        return jnp.where(by_gauge, of_gauge, of_radius)

    own = marginal = period(z, label)
    if has_classes(density):
        def of_class(index: Array) -> Array:
            other = jnp.full(len(z), index)
            if density.flow.n_condition_classes:  # its latent is another one
                return period(density.encode(params, x, other, MIDDLE_OF_LEVEL)[0], other)
            return period(z, other)

        others = jax.lax.map(of_class, jnp.arange(n_classes(density)))
        marginal = jnp.minimum(own, others.min(0))
    return Numbers(
        log_prob=density.log_prob(params, x, label, MIDDLE_OF_LEVEL),
        radius=latent_radius(density, params, z, label),
        return_period=marginal,
        class_return_period=own if has_classes(density) else None,
        nearest_archetype=archetype,
        hull_distance=distance,
    )


@functools.partial(jax.jit, static_argnums=0)
def decode(density: Density, params: Params, latents: Latents) -> Array:
    """Data [n, *shape] of latents, compiled once for each n."""
    return density.decode(params, latents.z, latents.label)


def adversary(
    density: Density, generator: nn.Module | None, kind: str
) -> Callable[[Params, Array, int], Array] | None:
    """Draws of an adversary that learns to look real, from its parameters, a key and their number.

    "generator" is a network of its own, fed with normal noise; "flow" decodes ordinary latents.
    None where there is no adversary.
    """
    def by_network(params: Params, key: Array, n: int) -> Array:
        assert generator is not None
        y = bound(generator, params)(jax.random.normal(key, (n, density.flow.n_dims)))
        return density.preprocessing.to_data(y.reshape(n, *density.flow.shape))

    def by_flow(params: Params, key: Array, n: int) -> Array:
        latents = draw_latents(
            density, params, key, n, method="gumbel", extremeness=1.0)
        return decode(density, params, latents)

    return {"generator": by_network, "flow": by_flow}.get(kind)
