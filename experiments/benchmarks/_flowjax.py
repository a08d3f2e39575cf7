"""Flows in flowjax (JAX, vectors only): the toy and its best for equal wall time."""

import time
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow
from flowjax.train.losses import MaximumLikelihoodLoss
from flowjax.train.train_utils import step as flowjax_step

from experiments.benchmarks._race import Points, Task, scale_by_share
from experiments.benchmarks._timing import Side


def toy(batches: Iterator[np.ndarray], *, width: int, n_blocks: int) -> dict[str, Side]:
    """Training of a 2-D flow on batches [B, 2]: two one-sided layers for a two-sided block."""
    flow = coupling_flow(jax.random.key(0), base_dist=Normal(jnp.zeros(2)),
                         flow_layers=2 * n_blocks, nn_width=width, nn_depth=2)
    training = _Training(flow, optax.adam(1e-3))

    def call() -> None:
        jax.block_until_ready(training.step(next(batches)))

    start = time.perf_counter()
    call()
    compile_s = time.perf_counter() - start
    return {"flowjax": Side(
        call, memory_bytes=training.gradient_memory_bytes(next(batches)), compile_s=compile_s)}


def digits(task: Task) -> "FlowjaxRacer":
    """Splines."""
    flow = coupling_flow(
        jax.random.key(0), base_dist=Normal(jnp.zeros(64)), flow_layers=12, nn_width=128,
        nn_depth=2, transformer=RationalQuadraticSpline(knots=8, interval=8),
    )
    return FlowjaxRacer(task, flow, learning_rate=1e-3, weight_decay=1e-2)


def moons(task: Task) -> "FlowjaxRacer":
    """Splines."""
    flow = coupling_flow(
        jax.random.key(0), base_dist=Normal(jnp.zeros(2)), flow_layers=8, nn_width=64,
        nn_depth=2, transformer=RationalQuadraticSpline(knots=8, interval=4),
    )
    return FlowjaxRacer(task, flow, learning_rate=1e-3, weight_decay=0.0)


class _Training:
    """Steps as flowjax's `fit_to_data` takes them."""

    def __init__(self, flow: Any, optimizer: optax.GradientTransformation) -> None:
        self.params, self.static = eqx.partition(
            flow, eqx.is_inexact_array,
            is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable),
        )
        self._optimizer = optimizer
        self.opt_state = optimizer.init(self.params)
        self._loss = MaximumLikelihoodLoss()

    def step(self, batch: np.ndarray) -> jax.Array:
        """One step on a batch [B, D]; returns its loss."""
        self.params, self.opt_state, loss = flowjax_step(
            self.params, self.static, batch, optimizer=self._optimizer, opt_state=self.opt_state,
            loss_fn=self._loss,
        )
        return loss

    def gradient_memory_bytes(self, batch: np.ndarray) -> int:
        """Temporary memory of the compiled gradient."""
        gradient = jax.jit(jax.grad(lambda params, x: self._loss(params, self.static, x)))
        compiled: Any = gradient.lower(self.params, batch).compile()
        return compiled.memory_analysis().temp_size_in_bytes


class FlowjaxRacer:
    """A flowjax distribution in a race: AdamW."""

    _N_STEPS = 5  # between looks at the clock

    def __init__(self, task: Task, flow: Any, *, learning_rate: float,
                 weight_decay: float) -> None:
        optimizer = optax.chain(
            optax.adamw(learning_rate, weight_decay=weight_decay), scale_by_share(),
        )
        self._training = _Training(flow, optimizer)
        self._batches = task.batches()
        self._log_prob = eqx.filter_jit(lambda params, y: paramax.unwrap(
            eqx.combine(params, self._training.static)).log_prob(y).mean())

    def train(self, learning_rate_share: float) -> int:
        """See `Racer`."""
        *others, _ = self._training.opt_state
        self._training.opt_state = (*others, jnp.float32(learning_rate_share))
        for _ in range(self._N_STEPS):
            loss = self._training.step(_flat(next(self._batches)))
        jax.block_until_ready(loss)
        return self._N_STEPS

    def nll(self, points: Points) -> float:
        """See `Racer`."""
        return -float(self._log_prob(self._training.params, _flat(points.y))) - points.log_volume

    def state(self) -> Any:
        """See `Racer`."""
        return self._training.params  # immutable

    def restore(self, state: Any) -> None:
        """See `Racer`."""
        self._training.params = state


def _flat(y: np.ndarray) -> np.ndarray:
    return y.reshape(len(y), -1)
