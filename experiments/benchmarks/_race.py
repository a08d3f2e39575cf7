"""Training for equal wall time on equal terms: rows, noise, density and learning rate's decay."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from flowaa.config.data import build_data
from flowaa.config.flow import build_density
from flowaa.data.batch_order import BatchOrder
from flowaa.data.dataset import Split
from flowaa.data.rows import read_all


@dataclasses.dataclass(frozen=True)
class Points:
    """A split as it is evaluated: its rows with one draw of noise, in data's and model's units."""

    x: np.ndarray  # [N, *shape] as stored
    noise: np.ndarray | float  # [N, *shape] in [0, 1) where the data is discrete, else 0
    y: np.ndarray  # [N, *shape] float32, the model's units of x + noise
    log_volume: float  # mean log|det dy/dx|, nats


class Task:
    """What is learned: the data set of a config and the units of its model."""

    def __init__(self, config: ConfigDict) -> None:
        """Loads the data, which takes no racer's time."""
        self.config = config
        self.dataset = build_data(config)
        self.shape = self.dataset.spec.shape
        self.n_dims = math.prod(self.shape)
        preprocessing = build_density(config, self.dataset.spec).preprocessing
        self._is_discrete = preprocessing.is_discrete
        self._to_model = jax.jit(preprocessing.to_model)
        generator = np.random.default_rng(config.seed)
        self.validation = self._points(self.dataset.validation, generator)
        self.test = self._points(self.dataset.test, generator)

    def batches(self) -> Iterator[np.ndarray]:
        """Training batches [B, *shape] in the model's units, in the order of our training."""
        rows = read_all(self.dataset.train.x)
        order = BatchOrder(len(rows), self.config.training.batch_size, self.config.seed)
        generator = np.random.default_rng(self.config.seed)
        step = 0
        while True:
            x = rows[order.indices(step)]
            yield np.array(self._to_model(x, self._noise(x.shape, generator))[0])
            step += 1

    def bits_per_dim(self, nll_nats: float) -> float:
        """Bits per dimension of nats per example."""
        return nll_nats / (self.n_dims * math.log(2.0))

    def _points(self, split: Split, generator: np.random.Generator) -> Points:
        x = read_all(split.x)
        noise = self._noise(x.shape, generator)
        y, log_volume = self._to_model(x, noise)
        return Points(x, noise, np.array(y), float(log_volume.mean()))

    def _noise(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray | float:
        return generator.random(shape, np.float32) if self._is_discrete else 0.0


class Racer(Protocol):
    """One library's model of a task, in training."""

    def train(self, learning_rate_share: float) -> int:
        """Takes some steps at this share of the learning rate; returns how many."""
        ...

    def nll(self, points: Points) -> float:
        """Mean -log p(x + noise), nats per example in data units."""
        ...

    def state(self) -> Any:
        """A copy of what `nll` depends on."""
        ...

    def restore(self, state: Any) -> None:
        """Goes back to a copy."""
        ...


@dataclasses.dataclass(frozen=True)
class Result:
    """How a race ended."""

    test_nll: float  # nats per example, of the state that was best on validation
    validation_nll: float
    n_steps: int


def race(
    make: Callable[[Task], Racer], task: Task, *, wall_s: float, evaluate_every_s: float
) -> Result:
    """Trains for `wall_s` seconds, in which building, compiling and evaluating count.

    The learning rate falls as a half cosine from the end of the first call, which compiles, to the
    last second. The state is the one of the lowest validation NLL.
    """
    start = time.perf_counter()
    racer = make(task)
    n_steps = racer.train(1.0)
    ready_s = last_s = elapsed_s = time.perf_counter() - start
    best_nll, best = racer.nll(task.validation), racer.state()
    while elapsed_s < wall_s:
        progress = (elapsed_s - ready_s) / (wall_s - ready_s)
        n_steps += racer.train(0.5 + 0.5 * math.cos(math.pi * progress))
        elapsed_s = time.perf_counter() - start
        if elapsed_s - last_s >= evaluate_every_s or elapsed_s >= wall_s:
            nll = racer.nll(task.validation)
            if nll < best_nll:
                best_nll, best = nll, racer.state()
            last_s = elapsed_s = time.perf_counter() - start
    racer.restore(best)
    return Result(racer.nll(task.test), best_nll, n_steps)


def scale_by_share() -> optax.GradientTransformation:
    """Multiplies updates by its state, a scalar that is set from outside between the steps."""

    def update(updates: Any, share: jax.Array, params: Any = None) -> tuple[Any, jax.Array]:
        del params
        return jax.tree.map(lambda leaf: share * leaf, updates), share

    return optax.GradientTransformation(lambda params: jnp.ones(()), update)
