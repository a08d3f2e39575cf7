"""A finished run as one object, for analysis."""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowaa import build
from flowaa.data.dataset import DataSpec
from flowaa.density import MIDDLE_OF_LEVEL, Density, DensityDistribution
from flowaa.errors import UserError
from flowaa.likelihood import bits_per_dim
from flowaa.training.checkpoints import Checkpoints
from flowaa.training.run_folder import RunFolder
from flowaa.training.state import Params, create_state

Array = jax.Array


def load_run(workdir: str | os.PathLike[str], step: int | None = None) -> "Run":
    """Restores a run for analysis; its data set is not needed.

    Args:
        workdir: the folder `experiments.train` wrote.
        step: a checkpoint's step; None takes the best on validation.

    Raises:
        UserError: there is no run, no such step, or no checkpoint that can be read.
    """
    folder = RunFolder(workdir)
    config = ConfigDict(_tuples(folder.read_config())).lock()
    if not folder.checkpoints.is_dir():
        raise UserError(f"{folder.path} holds no checkpoint yet; train first")
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    try:
        for candidate in checkpoints.candidates(step):
            saved = checkpoints.try_run_of(candidate)
            if saved is None:
                continue
            spec = spec_from_json(saved["data"])
            density = build.build_density(config, spec)
            state = checkpoints.try_restore(candidate, _state_like(config, density))
            if state is not None:
                return Run(config, spec, density, state.evaluation_params, candidate)
    finally:
        checkpoints.close()
    if step is not None:
        raise UserError(f"checkpoint {step} of {folder.path} is damaged; leave step out for the "
                        "best that can be read")
    raise UserError(f"no checkpoint in {folder.checkpoints} can be read; train anew")


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained density and what it was trained with.

    Examples are in data units: integer levels (0 … 255 for images) or float rows. Labels are class
    indices, an int for all examples or [B]. Discrete data without a `key` stands at the middle of
    its levels; with one it is dequantised as in training.
    """

    config: ConfigDict  # locked
    spec: DataSpec
    density: Density
    params: Params
    step: int  # of the checkpoint

    def encode(self, x: Any, label: Any = None) -> tuple[Array, Array]:
        """Latent z [B, D] of x [B, *shape], and log|det dz/dx| [B] in data units."""
        x = self._examples(x)
        return self._encode(self.params, x, self._labels(label, len(x)))

    def decode(self, z: Any, label: Any = None) -> Array:
        """Examples [B, *shape] in data units of latents z [B, D]."""
        z = jnp.asarray(z, jnp.float32)
        if z.ndim != 2 or z.shape[1] != self.density.flow.n_dims:
            raise UserError(f"z has shape {z.shape}, not [B, {self.density.flow.n_dims}]")
        return self._decode(self.params, z, self._labels(label, len(z)))

    def log_prob(self, x: Any, label: Any = None, key: Array | None = None) -> Array:
        """log p(x) [B] in nats."""
        x = self._examples(x)
        noise = MIDDLE_OF_LEVEL if key is None else self.density.noise(key, jnp.arange(len(x)))
        return self._log_prob(self.params, x, self._labels(label, len(x)), noise)

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
        return self._sample(self.params, key, n, self._labels(label, n), temperature)

    def distribution(self, label: int | None = None) -> DensityDistribution:
        """The density of one example as a distrax distribution."""
        self._labels(label, 1)
        return DensityDistribution(self.density, self.params, label)

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


def spec_to_json(spec: DataSpec) -> dict[str, Any]:
    """What a checkpoint keeps of the data."""
    return dataclasses.asdict(spec)


def spec_from_json(fields: dict[str, Any]) -> DataSpec:
    """The inverse of `spec_to_json`: JSON has lists where a spec has tuples."""
    return DataSpec(**_tuples(fields))


def _state_like(config: ConfigDict, density: Density) -> Any:
    """Shapes of the state a run of this config has."""
    optimizer = build.build_optimizer(config.optimizer, steps=config.training.steps)
    x = jnp.zeros((2, *density.flow.shape))

    def state(key: Array) -> Any:
        params = density.init(key, x, jnp.zeros(2, jnp.int32))
        return create_state(params, optimizer, with_ema=config.optimizer.ema_decay > 0)

    return jax.eval_shape(state, jax.random.key(0))


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, all the way down."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(entry) for entry in value)
    return value
