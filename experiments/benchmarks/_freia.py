"""The thesis's and the toy architecture in FrEIA (torch), and its training steps."""

from collections.abc import Callable
from typing import Any

import numpy as np


def toy_step(*, batch_size: int, width: int, n_blocks: int, seed: int) -> Callable[[], float]:
    """A function that takes one training step of a 2-D flow on the mixture and returns the loss."""
    import FrEIA.framework as ff
    import FrEIA.modules as fm
    import torch
    from torch import nn

    def subnet(n_in: int, n_out: int) -> nn.Module:
        return nn.Sequential(nn.Linear(n_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                             nn.Linear(width, n_out))

    torch.manual_seed(seed)
    model = ff.SequenceINN(2)
    for _ in range(n_blocks):
        model.append(fm.GLOWCouplingBlock, subnet_constructor=subnet, clamp=1.5)
        model.append(fm.PermuteRandom)
    return _step(model, _mixture_batch(batch_size, seed))


def thesis_step(*, batch_size: int, seed: int) -> tuple[Callable[[], float], Any]:
    """A function that takes one step of the thesis's architecture on random images, and the net."""
    import FrEIA.framework as ff
    import FrEIA.modules as fm
    import torch
    from torch import nn

    def conv(width: int, kernel: int) -> Callable[[int, int], nn.Module]:
        def subnet(n_in: int, n_out: int) -> nn.Module:
            pad = kernel // 2
            return nn.Sequential(
                nn.Conv2d(n_in, width, kernel, padding=pad), nn.ReLU(),
                nn.Conv2d(width, width, kernel, padding=pad), nn.ReLU(),
                nn.Conv2d(width, n_out, kernel, padding=pad),
            )
        return subnet

    def dense(n_in: int, n_out: int) -> nn.Module:
        return nn.Sequential(nn.Linear(n_in, 392), nn.ReLU(), nn.Linear(392, 392), nn.ReLU(),
                             nn.Linear(392, n_out))

    torch.manual_seed(seed)
    model = ff.SequenceINN(3, 32, 32)

    def append_blocks(subnets: list[Any]) -> None:
        for subnet in subnets:
            model.append(fm.GLOWCouplingBlock, subnet_constructor=subnet, clamp=1.5)
            model.append(fm.PermuteRandom)

    model.append(fm.IRevNetDownsampling)
    append_blocks([conv(16, 3)] * 4)
    model.append(fm.IRevNetDownsampling)
    append_blocks([conv(32, 1), conv(32, 3)] * 2)
    model.append(fm.Flatten)
    append_blocks([dense] * 2)
    images = np.random.default_rng(seed).normal(size=(batch_size, 3, 32, 32)).astype(np.float32)
    return _step(model, lambda: torch.from_numpy(images)), model


def _step(model: Any, batch: Callable[[], Any]) -> Callable[[], float]:
    """One step of Adam on the negative log-likelihood."""
    import torch

    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        z, log_det = model(batch())
        loss = (0.5 * (z.flatten(1) ** 2).sum(1) - log_det).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _mixture_batch(batch_size: int, seed: int) -> Callable[[], Any]:
    """Fresh draws of the thesis's mixture (4.1), as a torch tensor."""
    import torch

    generator = np.random.default_rng(seed)

    def batch() -> Any:
        sign = generator.integers(0, 2, (batch_size, 1)) * 2 - 1
        rows = 3.0 * sign + generator.normal(size=(batch_size, 2))
        return torch.from_numpy(rows.astype(np.float32))

    return batch
