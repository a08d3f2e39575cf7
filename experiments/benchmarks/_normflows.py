"""Flows in normflows (torch): the architectures compared and its best for equal wall time.

A coupling of normflows changes one half, so two of them stand for a two-sided block; its own bound
on scales, a sigmoid, stands for the soft clamp.
"""

from collections.abc import Iterator, Sequence

import normflows as nf
import numpy as np
import torch
from torch import Tensor, nn

from experiments.benchmarks import _torch
from experiments.benchmarks._race import Task
from experiments.benchmarks._timing import Side


def toy(batches: Iterator[np.ndarray], *, width: int, n_blocks: int) -> dict[str, Side]:
    """Training of a 2-D flow on batches [B, 2]."""
    layers = [layer for _ in range(n_blocks) for layer in _dense_block(2, width)]
    model = _flow(2, layers)
    return _torch.sides("normflows", model, model.log_prob, batches)


def thesis(batches: Iterator[np.ndarray]) -> dict[str, Side]:
    """Training of the thesis's architecture (configs/thesis.py) on batches [B, 3, 32, 32]."""
    layers = [nf.flows.Squeeze()]
    for _ in range(4):
        layers += _conv_block(12, 16, 3)
    layers.append(nf.flows.Squeeze())
    for kernel in (1, 3) * 2:
        layers += _conv_block(48, 32, kernel)
    layers.append(_Flatten())
    for _ in range(2):
        layers += _dense_block(3072, 392)
    model = _flow(3072, layers)
    return _torch.sides("normflows", model, model.log_prob, batches)


def digits(task: Task) -> _torch.TorchRacer:
    """Splines between learned linear maps."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [_Flatten()]
    for block in range(6):
        layers += [
            nf.flows.CoupledRationalQuadraticSpline(
                64, 1, 128, num_bins=8, tail_bound=8, dropout_probability=0.2,
                reverse_mask=bool(block % 2),
            ),
            nf.flows.LULinearPermute(64),
        ]
    model = _flow(64, layers)
    return _torch.TorchRacer(task, model, model.log_prob, learning_rate=1e-3, weight_decay=1e-2)


def moons(task: Task) -> _torch.TorchRacer:
    """Splines between learned linear maps."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for block in range(8):
        layers += [
            nf.flows.CoupledRationalQuadraticSpline(2, 1, 64, num_bins=8, tail_bound=4,
                                                    reverse_mask=bool(block % 2)),
            nf.flows.LULinearPermute(2),
        ]
    model = _flow(2, layers)
    return _torch.TorchRacer(task, model, model.log_prob, learning_rate=1e-3, weight_decay=0.0)


def pictures(task: Task) -> _torch.TorchRacer:
    """Glow (Kingma & Dhariwal 2018) of two scales, eight blocks of width 64 each."""
    torch.manual_seed(0)
    height, _, channels = task.shape
    outer, inner = 4 * channels, 8 * channels  # half of the outer ones are split off
    blocks = [[*(nf.flows.GlowBlock(n_channels, 64, split_mode="channel") for _ in range(8)),
               nf.flows.Squeeze()] for n_channels in (inner, outer)]
    bases = [nf.distributions.DiagGaussian((inner, height // 4, height // 4)),
             nf.distributions.DiagGaussian((inner // 4, height // 2, height // 2))]
    model = nf.MultiscaleFlow(bases, blocks, [nf.flows.Merge()], class_cond=False)
    return _torch.TorchRacer(task, model, lambda y: model.log_prob(y.permute(0, 3, 1, 2), None),
                             learning_rate=1e-3, weight_decay=1e-2)


class _Flatten(nf.flows.Flow):
    """Images to vectors, which normflows itself never mixes in one flow."""

    def inverse(self, x: Tensor) -> tuple[Tensor, int]:
        """Data to latent, as all of normflows has it."""
        return x.flatten(1), 0


def _flow(n_dims: int, layers: Sequence[nn.Module]) -> nn.Module:
    """A flow of layers in the order that data meets them; normflows counts from the latent."""
    base = nf.distributions.DiagGaussian(n_dims, trainable=False)
    return nf.NormalizingFlow(base, list(reversed(layers)))


def _conv_block(channels: int, width: int, kernel: int) -> list[nn.Module]:
    half = channels // 2
    return [
        *(nf.flows.AffineCouplingBlock(
            nf.nets.ConvNet2d((half, width, width, channels), (kernel,) * 3),
            scale_map="sigmoid", split_mode=mode,
        ) for mode in ("channel", "channel_inv")),
        nf.flows.Permute(channels),
    ]


def _dense_block(n_dims: int, width: int) -> list[nn.Module]:
    half = n_dims // 2
    return [
        *(nf.flows.AffineCouplingBlock(
            nf.nets.MLP([half, width, width, n_dims], init_zeros=True),
            scale_map="sigmoid", split_mode=mode,
        ) for mode in ("channel", "channel_inv")),
        nf.flows.Permute(n_dims),
    ]
