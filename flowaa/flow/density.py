"""A flow over data: preprocessing and flow together, as pure functions of the parameters.

Training, evaluation and analysis all use this one density. x is in data units, u in the model's.
"""

import dataclasses

import distrax
import jax
import jax.numpy as jnp

from flowaa.bijectors.base import Params, bound
from flowaa.flow.base_distribution import ClassMixture
from flowaa.flow.flow import Flow
from flowaa.flow.likelihood import Preprocessing, dequantisation_noise

Array = jax.Array

_FAR = 1e3  # in the model's units, standard deviations; a NaN nearer than this is another fault
MIDDLE_OF_LEVEL = 0.5  # the noise that stands for a level where no noise is drawn


@dataclasses.dataclass(frozen=True)
class Density:
    """p(x) of data x [B, *shape] in data units, given parameters.

    label [B] and context [B, E] are what a conditional flow is given, see `Flow`.
    """

    flow: Flow
    preprocessing: Preprocessing

    @property
    def mixes_classes(self) -> bool:
        """Whether p(x) is a mixture over classes of the base: sum over y of p(y) p(x | y)."""
        return isinstance(self.flow.base, ClassMixture) and not self.flow.n_condition_classes

    def init(
        self, key: Array, x: Array, label: Array | None, context: Array | None = None
    ) -> Params:
        """Parameters to start from; those that depend on data are set from x, a global batch."""
        u, _ = self.preprocessing.to_model(x, MIDDLE_OF_LEVEL)
        return self.flow.init(key, u, label, context).get("params", {})

    def noise(self, key: Array, example_ids: Array) -> Array | float:
        """Dequantisation noise [B, *shape], or 0 where the data is continuous."""
        if not self.preprocessing.is_discrete:
            return 0.0
        return dequantisation_noise(key, example_ids, self.flow.shape)

    def log_prob(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        dropout_key: Array | None = None, context: Array | None = None,
    ) -> Array:
        """log p(x + noise) [B] in nats; with a dropout key it is the training mode."""
        return self.log_probs(params, x, label, noise, dropout_key, context)[0]

    def log_probs(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        dropout_key: Array | None = None, context: Array | None = None,
    ) -> tuple[Array, Array]:
        """log p(x + noise | label) and log p(x + noise), each [B], in nats.

        They differ where the base mixes classes. Both are given the condition of the subnets.
        """
        u, units_log_det = self.preprocessing.to_model(x, noise)
        flow = bound(self.flow, params, dropout_key=dropout_key)
        z, log_det = flow.encode(u, label, context)
        log_det = log_det + units_log_det
        given_label = flow.latent_log_prob(z, label) + log_det
        if label is None or not self.mixes_classes:
            return given_label, given_label
        return given_label, flow.latent_log_prob(z) + log_det

    def far_out(self, log_prob: Array, x: Array) -> Array:
        """log_prob [B] with −inf for NaN where x lies so far out that the flow overflows."""
        u, _ = self.preprocessing.to_model(x, MIDDLE_OF_LEVEL)
        is_far = (jnp.abs(u) > _FAR).reshape(len(x), -1).any(axis=1)
        return jnp.where(jnp.isnan(log_prob) & is_far, -jnp.inf, log_prob)

    def encode(
        self, params: Params, x: Array, label: Array | None, noise: Array | float,
        context: Array | None = None,
    ) -> tuple[Array, Array]:
        """Latent [B, D] and log|det dz/dx| [B], of data units."""
        u, units_log_det = self.preprocessing.to_model(x, noise)
        z, log_det = bound(self.flow, params).encode(u, label, context)
        return z, log_det + units_log_det

    def decode(
        self, params: Params, z: Array, label: Array | None, context: Array | None = None
    ) -> Array:
        """Data [B, *shape] of latent z [B, D]."""
        u, _ = bound(self.flow, params).decode(z, label, context)
        return self.preprocessing.to_data(u)

    def sample(
        self, params: Params, key: Array, n: int, label: Array | None, temperature: float,
        context: Array | None = None,
    ) -> Array:
        """n draws [n, *shape]."""
        z = bound(self.flow, params).sample_latent(key, n, label, temperature)
        return self.decode(params, z, label, context)


class DensityDistribution(distrax.Distribution):
    """A trained density as a distrax distribution over one example.

    log_prob of discrete data dequantises at the middle of each level; `Run.log_prob` draws noise.
    """

    def __init__(
        self, density: Density, params: Params, label: int | None, context: Array | None = None
    ) -> None:
        """`label` is one class index, context [E] one row of numbers, or None."""
        self._density, self._params = density, params
        self._label, self._context = label, context

    def __repr__(self) -> str:
        given = [] if self._label is None else [f"label={self._label}"]
        given += [] if self._context is None else [f"context={self._context.shape}"]
        return f"{type(self).__name__}({', '.join([f'event_shape={self.event_shape}', *given])})"

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self._density.flow.shape

    def _sample_n(self, key: Array, n: int) -> Array:
        label, context = self._given(n)
        return self._density.sample(self._params, key, n, label, 1.0, context)

    def log_prob(self, value: Array) -> Array:
        """log p of examples [..., *shape]."""
        batch = value.shape[: value.ndim - len(self.event_shape)]
        x = value.reshape(-1, *self.event_shape)
        label, context = self._given(len(x))
        log_prob = self._density.log_prob(
            self._params, x, label, MIDDLE_OF_LEVEL, context=context)
        return log_prob.reshape(batch)

    def _given(self, n: int) -> tuple[Array | None, Array | None]:
        """Label and context, repeated for n examples."""
        label, context = self._label, self._context
        return (None if label is None else jnp.full(n, label, jnp.int32),
                None if context is None else jnp.broadcast_to(context, (n, *context.shape)))
