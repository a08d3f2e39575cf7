"""Flows in FrEIA (torch): the architectures compared and its best for equal wall time."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import FrEIA.framework as ff
import FrEIA.modules as fm
import numpy as np
import torch
from torch import Tensor, nn

from experiments.benchmarks import _torch
from experiments.benchmarks._race import Task
from experiments.benchmarks._timing import Side

Subnet = Callable[[int, int], nn.Module]

_CLAMP = 1.5


def toy(batches: Iterator[np.ndarray], *, width: int, n_blocks: int) -> dict[str, Side]:
    """Training of a 2-D flow on batches [B, 2]."""
    model = ff.SequenceINN(2)
    _append_blocks(model, [_dense(width)] * n_blocks)
    return _torch.sides("freia", model, _log_prob(model), batches)


def thesis(batches: Iterator[np.ndarray]) -> dict[str, Side]:
    """Training of the thesis's architecture on batches [B, 3, 32, 32]."""
    model = thesis_model()
    return _torch.sides("freia", model, _log_prob(model), batches)


def thesis_model() -> nn.Module:
    """The thesis's architecture (configs/thesis.py)."""
    model = ff.SequenceINN(3, 32, 32)
    model.append(fm.IRevNetDownsampling)
    _append_blocks(model, [_conv(16, 3)] * 4)
    model.append(fm.IRevNetDownsampling)
    _append_blocks(model, [_conv(32, 1), _conv(32, 3)] * 2)
    model.append(fm.Flatten)
    _append_blocks(model, [_dense(392)] * 2)
    return model


def digits(task: Task) -> _torch.TorchRacer:
    """Four blocks of convolutions after a squeeze, then four dense ones."""
    torch.manual_seed(0)
    model = ff.SequenceINN(1, 8, 8)
    model.append(fm.IRevNetDownsampling)
    _append_blocks(model, [_conv(64, 3, dropout=0.2)] * 4)
    model.append(fm.Flatten)
    _append_blocks(model, [_dense(128, dropout=0.2)] * 4)
    log_prob = _log_prob(model)
    return _torch.TorchRacer(task, model, lambda y: log_prob(y.permute(0, 3, 1, 2)),
                             learning_rate=1e-3, weight_decay=1e-2)


def pictures(task: Task) -> _torch.TorchRacer:
    """Two scales of eight convolutional blocks of width 64, learned scales and mixed channels."""
    torch.manual_seed(0)
    height, width, channels = task.shape
    model = ff.SequenceINN(channels, height, width)
    for _ in range(2):
        model.append(fm.IRevNetDownsampling)
        for _ in range(8):
            model.append(fm.AllInOneBlock, subnet_constructor=_conv(64, 3),
                         learned_householder_permutation=2)
    log_prob = _log_prob(model)
    return _torch.TorchRacer(task, model, lambda y: log_prob(y.permute(0, 3, 1, 2)),
                             learning_rate=1e-3, weight_decay=1e-2)


def moons(task: Task) -> _torch.TorchRacer:
    """Eight dense blocks."""
    torch.manual_seed(0)
    model = ff.SequenceINN(2)
    _append_blocks(model, [_dense(64)] * 8)
    return _torch.TorchRacer(task, model, _log_prob(model), learning_rate=1e-3, weight_decay=0.0)


def _append_blocks(model: Any, subnets: list[Subnet]) -> None:
    """Two-sided affine couplings, each followed by a permutation."""
    for subnet in subnets:
        model.append(fm.GLOWCouplingBlock, subnet_constructor=subnet, clamp=_CLAMP)
        model.append(fm.PermuteRandom, seed=len(model))


def _conv(width: int, kernel: int, dropout: float = 0.0) -> Subnet:
    def subnet(n_in: int, n_out: int) -> nn.Module:
        def layer(n_in: int, n_out: int) -> nn.Module:
            return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2)

        return _three_layers(layer, n_in, width, n_out, dropout)

    return subnet


def _dense(width: int, dropout: float = 0.0) -> Subnet:
    return lambda n_in, n_out: _three_layers(nn.Linear, n_in, width, n_out, dropout)


def _three_layers(layer: Subnet, n_in: int, width: int, n_out: int, dropout: float) -> nn.Module:
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(layer(n_in, width), nn.ReLU(), *drop,
                         layer(width, width), nn.ReLU(), *drop, layer(width, n_out))


def _log_prob(model: nn.Module) -> _torch.LogProb:
    def log_prob(y: Tensor) -> Tensor:
        z, log_det = model(y)
        z = z.flatten(1)
        return log_det - 0.5 * (z ** 2).sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)

    return log_prob
