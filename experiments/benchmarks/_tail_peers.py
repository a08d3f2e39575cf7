"""Flows whose tails are power laws, as published, by zuko: mTAF, gTAF and TTF.

Each is the spline flow of `_density_peers`. mTAF (Laszkiewicz et al. 2022, arXiv 2206.10311) maps
from independent Student-t noise whose degrees of freedom are estimated per feature beforehand, gTAF
learns them, and TTF (Hickling & Prangle 2025, arXiv 2406.16971) maps from normal noise and ends in
a transform whose tail indices, per feature and side, start at the estimates and are learned. The
estimates are Hill's of a feature's outermost 5 %. All features are taken for heavy, which spares
mTAF's sorting of heavy from light ones; rows are in units of the quartiles.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import zuko
from torch import nn

from experiments.benchmarks._density_peers import trained
from flowaa.extremes import hill

_OUTERMOST = 0.05  # share of a feature's rows that Hill's estimate is of
_LEAST_INDEX = 0.02  # below which a tail counts as normal


def fit_tail_peers(
    train: np.ndarray, seconds: float, seed: int
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Name → log-likelihoods of rows, of each fitted to `train` [n, d] in so many seconds."""
    torch.manual_seed(seed)
    middle = np.median(train, axis=0)
    scale = np.subtract(*np.quantile(train, [0.75, 0.25], axis=0)) / 2
    log_volume = float(np.log(scale).sum())
    rows = (train - middle) / scale
    indices = np.array([[_tail_index(side * column) for side in (-1, 1)] for column in rows.T])
    flows = {"mtaf": _FromStudentT(indices.max(1), is_learned=False),
             "gtaf": _FromStudentT(indices.max(1), is_learned=True),
             "ttf": _TailTransformFlow(indices)}

    def of(flow: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
        log_prob = trained(flow, flow, rows, seconds, seed)
        return lambda x: log_prob((x - middle) / scale) - log_volume

    return {name: of(flow) for name, flow in flows.items()}


def _tail_index(x: np.ndarray) -> float:
    return max(_LEAST_INDEX, hill(x, int(_OUTERMOST * len(x))).shape)


def _spline_flow(d: int) -> zuko.flows.NSF:
    return zuko.flows.NSF(d, transforms=4, bins=8, hidden_features=(64, 64))


class _FromStudentT(nn.Module):
    """log p [n] of rows [n, d], from independent t noise."""

    def __init__(self, indices: np.ndarray, *, is_learned: bool) -> None:
        super().__init__()
        self.flow = _spline_flow(len(indices))
        self.log_degrees = nn.Parameter(
            -torch.log(torch.tensor(indices, dtype=torch.float32)), requires_grad=is_learned)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z, log_det = self.flow().transform.call_and_ladj(x)
        return torch.distributions.StudentT(self.log_degrees.exp()).log_prob(z).sum(-1) + log_det


class _TailTransformFlow(nn.Module):
    """log p [n] of rows [n, d], from normal noise by splines and the tail transform.

    x = mu + s sigma (erfc(|z| / sqrt 2)^(-index) - 1) / index, s the sign of z.
    """

    def __init__(self, indices: np.ndarray) -> None:
        super().__init__()
        self.flow = _spline_flow(len(indices))
        self.log_indices = nn.Parameter(torch.log(torch.tensor(indices, dtype=torch.float64)))
        self.location = nn.Parameter(torch.zeros(len(indices), dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.zeros(len(indices), dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        away = (x.double() - self.location) / self.log_scale.exp()
        index = torch.where(away < 0, self.log_indices[:, 0], self.log_indices[:, 1]).exp()
        log_growth = torch.log1p(index * away.abs())
        share = torch.exp(-log_growth / index).clamp(1e-280, 1 - 1e-12)  # erfc(|z| / sqrt 2)
        z = -math.sqrt(2) * torch.erfinv(1 - share)
        # Where 1 - share has lost its digits: log erfc(t) = -t^2 - log(t sqrt(pi)) + ...
        z = torch.where(share < 1e-10, -_far_quantile(share), z)
        log_det = (-log_growth / index - log_growth - self.log_scale
                   + 0.5 * math.log(math.pi / 2) + 0.5 * z**2).sum(-1)
        z = torch.where(away < 0, z, -z)
        return self.flow().log_prob(z.float()) + log_det


def _far_quantile(share: torch.Tensor) -> torch.Tensor:
    """|z| with erfc(|z| / sqrt 2) = share, small, by Newton's steps on the logarithm."""
    log_share = torch.log(share.clamp(max=1e-10))
    z = torch.sqrt(-2 * log_share)
    for _ in range(6):
        log_tail = math.log(2) + torch.special.log_ndtr(-z)
        slope = torch.exp(-0.5 * z**2 - 0.5 * math.log(2 * math.pi) + math.log(2) - log_tail)
        z = z + (log_tail - log_share) / slope
    return z
