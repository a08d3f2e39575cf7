"""A finished run as one object, for analysis."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowaa.bijectors.base import bound
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError
from flowaa.flow.density import MIDDLE_OF_LEVEL, Density, DensityDistribution
from flowaa.flow.likelihood import bits_per_dim
from flowaa.outliers import draws as outliers
from flowaa.outliers.plane import ArchetypePlane, archetype_plane
from flowaa.training.archetypes.objective import ArchetypeModel
from flowaa.training.state import Params

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained density and what it was trained with, and its archetypes where it has any.

    Examples are in data units: integer levels (0 … 255 for images) or float rows. Labels are class
    indices, an int for all examples or [B]. Discrete data without a `key` stands at the middle of
    its levels; with one it is dequantised as in training.
    """

    config: ConfigDict  # locked
    spec: DataSpec
    density: Density
    params: Params | None  # the flow's; None where a variational bottleneck takes its place
    step: int  # of the checkpoint
    archetype_model: ArchetypeModel | None = None
    archetype_params: Params | None = None  # of flow and heads
    summary: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of `summary.json`

    def encode(self, x: Any, label: Any = None) -> tuple[Array, Array]:
        """Latent z [B, D] of x [B, *shape], and log|det dz/dx| [B] in data units."""
        x = self._examples(x)
        return self._encode(self._flow, x, self._labels(label, len(x)))

    def decode(self, z: Any, label: Any = None) -> Array:
        """Examples [B, *shape] in data units of latents z [B, D]."""
        z = jnp.asarray(z, jnp.float32)
        if z.ndim != 2 or z.shape[1] != self.density.flow.n_dims:
            raise UserError(f"z has shape {z.shape}, not [B, {self.density.flow.n_dims}]")
        return self._decode(self._flow, z, self._labels(label, len(z)))

    def log_prob(self, x: Any, label: Any = None, key: Array | None = None) -> Array:
        """log p(x) [B] in nats."""
        x = self._examples(x)
        noise = MIDDLE_OF_LEVEL if key is None else self.density.noise(key, jnp.arange(len(x)))
        return self._log_prob(self._flow, x, self._labels(label, len(x)), noise)

    def bits_per_dim(self, x: Any, label: Any = None, key: Array | None = None) -> float:
        """Mean of -log p(x) / (D ln 2)."""
        log_prob = self.log_prob(x, label, key)
        return float(bits_per_dim(log_prob, self.density.flow.n_dims).mean())

    def sample(self, key: Array, n: int, label: Any = None, temperature: float = 1.0) -> Array:
        """n draws [n, *shape] in data units; latents deviate `temperature` times as far."""
        if n < 1:
            raise UserError(f"n is {n}; ask for at least one draw")
        if not temperature >= 0:
            raise UserError(f"temperature is {temperature}; it must be 0 or larger")
        return self._sample(self._flow, key, n, self._labels(label, n), temperature)

    def sample_outliers(
        self, key: Array, n: int, method: str = "shell", *, extremeness: float,
        label: Any = None,
    ) -> Array:
        """n outliers [n, *shape] in data units; `draw_outliers` also tells their numbers.

        Args:
            key: a random key.
            n: draws.
            method: "shell": at the latent radius that one draw in `extremeness` exceeds; "gumbel":
                like the furthest of so many; "simplex": in the archetypes' plane, as far beyond
                their simplex as one draw in so many.
            extremeness: return period, in draws: at least 1, which is the most typical point for
                "shell" and an ordinary draw for "gumbel"; 1e6 is a once-in-a-million outlier.
            label: class index, or one for each; None draws them where the run knows classes.

        Raises:
            UserError: an argument is out of range, or the run does not know the label.
        """
        return self.draw_outliers(key, n, method, extremeness=extremeness, label=label).x

    def draw_outliers(
        self, key: Array, n: int, method: str = "shell", *, extremeness: float,
        label: Any = None,
    ) -> "Outliers":
        """As `sample_outliers`, with latents, log-likelihoods, radii and return periods."""
        if n < 1:
            raise UserError(f"n is {n}; ask for at least one draw")
        labels = None if label is None else self._labels(label, n)
        plane = self.archetype_plane
        z, labels = outliers.draw_latents(
            self.density, self._flow, key, n, method=method, extremeness=extremeness,
            label=labels, plane=plane)
        x = self._decode(self._flow, z, labels)
        return Outliers(x, z, labels, *self._numbers(self._flow, x, z, labels, plane))

    def distribution(self, label: int | None = None) -> DensityDistribution:
        """The density of one example as a distrax distribution."""
        self._labels(label, 1)
        return DensityDistribution(self.density, self._flow, label)

    @property
    def archetypes(self) -> Array:
        """The vertices [K, L] of the simplex."""
        return bound(self._model.heads, self._heads).vertices()

    def archetype_weights(self, x: Any, label: Any = None) -> Array:
        """A [B, K] of x [B, *shape]: how much of each archetype there is in it; rows sum to one."""
        x = self._examples(x)
        self._model  # noqa: B018 - says so where the run has none
        return self._weights(self.archetype_params, x, self._archetype_labels(label, len(x)))

    def decode_weights(self, weights: Any, label: Any = None) -> Array:
        """Examples [B, *shape] in data units of mixtures [B, K] of the archetypes.

        Weights beyond [0, 1] exaggerate: they leave the simplex.
        """
        k = self._model.heads.n_archetypes
        weights = jnp.asarray(weights, jnp.float32)
        if weights.ndim != 2 or weights.shape[1] != k:
            raise UserError(f"the weights have shape {weights.shape}, not [B, {k}]")
        if not np.allclose(weights.sum(1), 1.0, atol=1e-3):
            raise UserError("weights must sum to one in each row")
        labels = self._archetype_labels(label, len(weights))
        return self._decode_weights(self.archetype_params, weights, labels)

    @property
    def _model(self) -> ArchetypeModel:
        if self.archetype_model is None:
            raise UserError("this run has no archetypes; train with "
                            "--config.archetypes.n_archetypes=3 or another number")
        return self.archetype_model

    @property
    def _flow(self) -> Params:
        if self.params is None:
            raise UserError("this run has no flow: archetypes.bottleneck=variational encodes to "
                            "weights alone; see archetype_weights and decode_weights")
        return self.params

    @property
    def _heads(self) -> Params:
        assert self.archetype_params is not None
        return self.archetype_params["heads"]

    def _archetype_labels(self, label: Any, n: int) -> Array | None:
        labels = self._labels(label, n)
        if labels is None and self._model.heads.n_classes:
            raise UserError("each class has archetypes of its own in this run: give label, a class "
                            "index or one for each example")
        return labels

    @functools.cached_property
    def archetype_plane(self) -> ArchetypePlane | None:
        """The plane through the archetypes in the latent space, where the run has both."""
        if self.archetype_model is None or self.params is None:
            return None
        heads = self.archetype_model.heads
        n_sets, k = max(heads.n_classes, 1), heads.n_archetypes
        corners = bound(heads, self._heads).latent(
            jnp.tile(jnp.eye(k), (n_sets, 1)), jnp.repeat(jnp.arange(n_sets), k))
        return archetype_plane(corners.reshape(n_sets, k, -1))

    @functools.cached_property
    def _weights(self) -> Any:
        weights = self._model.weights
        return jax.jit(lambda params, x, label: weights(params, x, label, MIDDLE_OF_LEVEL))

    @functools.cached_property
    def _decode_weights(self) -> Any:
        return jax.jit(self._model.decode_weights)

    @functools.cached_property
    def _encode(self) -> Any:
        encode = self.density.encode
        return jax.jit(lambda params, x, label: encode(params, x, label, MIDDLE_OF_LEVEL))

    @functools.cached_property
    def _decode(self) -> Any:
        return jax.jit(self.density.decode)

    @functools.cached_property
    def _log_prob(self) -> Any:
        return jax.jit(self.density.log_prob)

    @functools.cached_property
    def _numbers(self) -> Any:
        return jax.jit(functools.partial(outliers.numbers, self.density))

    @functools.cached_property
    def _sample(self) -> Any:
        return jax.jit(self.density.sample, static_argnums=(2,))

    def _examples(self, x: Any) -> Array:
        shape = self.spec.shape
        x = jnp.asarray(x)
        if x.shape[1:] != shape or x.ndim != 1 + len(shape):
            raise UserError(f"x has shape {x.shape}; this run's examples are "
                            f"[B, {', '.join(map(str, shape))}]")
        return x

    def _labels(self, label: Any, n: int) -> Array | None:
        if label is None:
            if self.density.flow.n_condition_classes:
                raise UserError("this run is conditional: give label, a class index or one for "
                                "each example")
            return None
        labels = np.asarray(label)
        n_classes = self.spec.n_classes
        if not n_classes:
            raise UserError("label was given, but this run's data has no labels; leave it out")
        if labels.dtype.kind not in "iu" or labels.size == 0 or (
            labels.min() < 0 or labels.max() >= n_classes
        ):
            raise UserError(f"label must be integers from 0 to {n_classes - 1}")
        if labels.shape not in ((), (n,)):
            raise UserError(f"label has shape {labels.shape}; give one class index or {n} of them")
        return jnp.broadcast_to(jnp.asarray(labels, jnp.int32), (n,))


class Outliers(NamedTuple):
    """Outliers, and what is said of each."""

    x: Array  # [n, *shape] in data units
    z: Array  # [n, D] the latents that were drawn
    label: Array | None  # [n] classes, where the run knows any
    log_prob: Array  # [n] nats
    radius: Array  # [n] of the latents, in deviations
    return_period: Array  # [n] typical draws until one lies as far out
    nearest_archetype: Array | None  # [n] int32, where the run has archetypes
    hull_distance: Array | None  # [n] of the archetype coordinates from the simplex; 0 within
