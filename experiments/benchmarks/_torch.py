"""What FrEIA and normflows share: a training step in torch, its memory, and a race on a task."""

import copy
import os
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.benchmarks._race import Points, Task
from experiments.benchmarks._timing import Side

LogProb = Callable[[Tensor], Tensor]  # [B, ...] in the model's units to nats [B]


def n_cores() -> int:
    """As many threads as XLA takes."""
    return len(os.sched_getaffinity(0))


def sides(name: str, model: nn.Module, log_prob: LogProb,
          batches: Iterator[np.ndarray]) -> dict[str, Side]:
    """Training by Adam at a learning rate of 1e-3, with all cores and with one thread.

    On small arrays torch is faster with one thread.
    """
    optimizer = torch.optim.Adam(_trained(model), 1e-3, fused=True)
    step = _training_step(log_prob, batches, optimizer)
    memory_bytes = saved_bytes(model, log_prob, next(batches))

    def side(n_threads: int) -> Side:
        def call() -> None:
            torch.set_num_threads(n_threads)
            step()

        return Side(call, memory_bytes=memory_bytes)

    return {name: side(n_cores()), f"{name}_one_thread": side(1)}


def _training_step(log_prob: LogProb, batches: Iterator[np.ndarray],
                   optimizer: torch.optim.Optimizer) -> Callable[[], float]:
    """A function that takes one step on the mean negative log-likelihood and returns it."""

    def step() -> float:
        optimizer.zero_grad()
        loss = -log_prob(torch.from_numpy(next(batches))).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def saved_bytes(model: nn.Module, log_prob: LogProb, batch: np.ndarray) -> int:
    """What autograd keeps of a forward pass, each storage once, the model's own left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    sizes: dict[int, int] = {}
    kept = []  # so that no storage is freed and its address used again while we count

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        log_prob(torch.from_numpy(batch)).mean()
    return sum(sizes.values())


class TorchRacer:
    """A torch model in a race: AdamW, weight decay on matrices as in our configs."""

    _N_STEPS = 5  # between looks at the clock

    def __init__(self, task: Task, model: nn.Module, log_prob: LogProb, *, learning_rate: float,
                 weight_decay: float) -> None:
        self._model, self._log_prob, self._learning_rate = model, log_prob, learning_rate
        groups = [
            {"params": [p for p in _trained(model) if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in _trained(model) if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, learning_rate, fused=True)
        self._step = _training_step(log_prob, task.batches(), self._optimizer)
        self._n_threads = 0  # not chosen yet

    def train(self, learning_rate_share: float) -> int:
        """See `Racer`."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_share * self._learning_rate
        if not self._n_threads:
            return self._choose_threads()
        for _ in range(self._N_STEPS):
            self._step()
        return self._N_STEPS

    def _choose_threads(self) -> int:
        """Takes steps with one thread and with all cores, and keeps to the faster."""
        seconds = {}
        for n_threads in (1, n_cores()):
            torch.set_num_threads(n_threads)
            seconds[n_threads] = min(timeit.repeat(self._step, number=1, repeat=self._N_STEPS))
        self._n_threads = min(seconds, key=lambda n_threads: seconds[n_threads])
        torch.set_num_threads(self._n_threads)
        return len(seconds) * self._N_STEPS

    def nll(self, points: Points) -> float:
        """See `Racer`."""
        self._model.eval()
        with torch.no_grad():
            log_prob = self._log_prob(torch.from_numpy(points.y)).mean().item()
        self._model.train()
        return -log_prob - points.log_volume

    def state(self) -> Any:
        """See `Racer`."""
        return copy.deepcopy(self._model.state_dict())

    def restore(self, state: Any) -> None:
        """See `Racer`."""
        self._model.load_state_dict(state)


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
