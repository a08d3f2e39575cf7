"""Our training step of a config as a function to be timed, or as a program to be measured."""

import time
from collections.abc import Callable

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments.benchmarks._race import Points, Task, scale_by_share
from experiments.benchmarks._timing import Side
from flowaa.config.flow import build_density
from flowaa.config.problem import build_problem
from flowaa.data.batches import open_batches, read_rows
from flowaa.data.dataset import Dataset, DataSpec, Split
from flowaa.flow import cost
from flowaa.training import parallel
from flowaa.training.state import Params, create_state
from flowaa.training.step import train_step


def random_images(n: int, side: int) -> Dataset:
    """n random colour images as a data set whose splits are all the same."""
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)
    spec = DataSpec((side, side, 3), n_levels=256, mean=(127.5,) * 3, std=(64.0,) * 3)
    split = Split(images)
    return Dataset("random", spec, split, split, split)


def training_call(config: ConfigDict, dataset: Dataset) -> Callable[[], None]:
    """A function that makes one call of `training.steps_per_call` steps on one device and waits."""
    return Training(config, dataset).call


def side(config: ConfigDict, dataset: Dataset) -> Side:
    """Training of a config, to be timed beside a peer's."""
    training = Training(config, dataset)
    training.call()
    compile_s = time.perf_counter() - training.compiled_from
    params = jax.tree.map(lambda leaf: leaf[0], training.state.params)
    memory_bytes = cost.compiled_temp_bytes(
        training.density.flow, params, config.training.batch_size)
    return Side(training.call, training.n_steps, memory_bytes, compile_s)


class Training:
    """The compiled training of a config on one device, call after call."""

    def __init__(self, config: ConfigDict, dataset: Dataset) -> None:
        self._devices = jax.local_devices()[:1]
        self.density = build_density(config, dataset.spec)
        problem = build_problem(config, self.density)
        optimizer = optax.chain(problem.optimizer, scale_by_share())
        ema_decay = config.optimizer.ema_decay
        self._batches = open_batches(
            dataset.train, batch_size=config.training.batch_size, seed=config.seed,
            device_bytes=2**30, devices=self._devices,
        )
        rows = read_rows(dataset.train, self._batches.order.indices(0))
        create = parallel.compile_once(lambda key: create_state(
            problem.init(key, rows), optimizer, with_ema=ema_decay > 0))
        self._key = jax.random.key(config.seed)
        self.n_steps = config.training.steps_per_call
        self._step = 0
        self.compiled_from = time.perf_counter()
        self._call = parallel.compile_training(
            lambda state, batch, key: train_step(state, batch, key, loss=problem.loss,
                                                 optimizer=optimizer, ema_decay=ema_decay),
            self._batches, self._devices, state=create.eval_shape(self._key), key=self._key,
            n_steps=self.n_steps,
        )
        self.state = parallel.replicate(create(self._key), self._devices)

    def call(self) -> None:
        """One call of `n_steps` steps."""
        self.state, metrics = self._call(
            self.state, self._batches.constant, self._batches.at(self._step, self.n_steps),
            self._key,
        )
        self._step += self.n_steps
        jax.block_until_ready(metrics)

    def set_learning_rate_share(self, share: float) -> None:
        """Multiplies the next calls' updates by `share`."""
        optimizer_state, _ = self.state.opt_state
        replicated = parallel.replicate(np.float32(share), self._devices)
        self.state = self.state.replace(opt_state=(optimizer_state, replicated))


class OurRacer:
    """A config in a race; its learning rate's decay is the race's."""

    def __init__(self, task: Task) -> None:
        config = task.config.copy_and_resolve_references()
        config.optimizer.schedule = "constant"
        self._training = Training(config, task.dataset)
        density = self._training.density
        self._log_prob = jax.jit(
            lambda params, x, noise: density.log_prob(params, x, None, noise).mean())
        self._params: Params = None

    def train(self, learning_rate_share: float) -> int:
        """See `Racer`."""
        self._training.set_learning_rate_share(learning_rate_share)
        self._training.call()
        self._params = jax.tree.map(lambda leaf: leaf[0], self._training.state.evaluation_params)
        return self._training.n_steps

    def nll(self, points: Points) -> float:
        """See `Racer`."""
        return -float(self._log_prob(self._params, points.x, points.noise))

    def state(self) -> Params:
        """See `Racer`."""
        return self._params  # a copy already: the training's own buffers are donated

    def restore(self, state: Params) -> None:
        """See `Racer`."""
        self._params = state
