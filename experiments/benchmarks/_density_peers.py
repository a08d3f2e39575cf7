"""Spline flows of zuko, normflows and flowjax on a table, each with early stopping."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Fit = Callable[[np.ndarray, np.ndarray, float, int], np.ndarray]

_PATIENCE = 20  # epochs without a better validation score
_BATCH = 128


def peers() -> dict[str, Fit]:
    """The installed ones: (train, test, seconds, seed) to log-likelihoods of the test rows."""
    every: dict[str, Fit] = {"zuko": _zuko, "normflows": _normflows, "flowjax": _flowjax}
    return {name: fit for name, fit in every.items()
            if importlib.util.find_spec(name) is not None}


def _zuko(train: np.ndarray, test: np.ndarray, seconds: float, seed: int) -> np.ndarray:
    import torch
    import zuko

    torch.manual_seed(seed)
    flow = zuko.flows.NSF(train.shape[1], transforms=4, bins=8, hidden_features=(64, 64))
    return trained(flow, lambda x: flow().log_prob(x), train, seconds, seed)(test)


def _normflows(train: np.ndarray, test: np.ndarray, seconds: float, seed: int) -> np.ndarray:
    import normflows
    import torch

    torch.manual_seed(seed)
    d = train.shape[1]
    layers = []
    for block in range(4):
        layers += [normflows.flows.CoupledRationalQuadraticSpline(
            d, 2, 64, num_bins=8, tail_bound=5, reverse_mask=bool(block % 2)),
            normflows.flows.LULinearPermute(d)]
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(d), layers)
    return trained(flow, flow.log_prob, train, seconds, seed)(test)


def trained(
    flow: Any, log_prob: Callable, train: np.ndarray, seconds: float, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Adam on nine tenths of the rows until the last tenth has not gained for a while.

    Args:
        flow: a torch module.
        log_prob: of torch rows [n, d], by the flow.
        train: [n, d]
        seconds: after which training ends at the latest.
        seed: of the rows held out.

    Returns:
        log-likelihoods of rows.
    """
    import copy

    import torch

    ends_at = time.monotonic() + seconds
    rows = torch.tensor(train, dtype=torch.float32)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    held_out, rows = rows[order[:max(len(rows) // 10, 1)]], rows[order[max(len(rows) // 10, 1):]]
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    best, best_state, waited = -np.inf, copy.deepcopy(flow.state_dict()), 0
    while waited < _PATIENCE and time.monotonic() < ends_at:
        flow.train()
        for batch in torch.randperm(len(rows)).split(_BATCH):
            optimizer.zero_grad()
            loss = -log_prob(rows[batch]).mean()
            if torch.isfinite(loss):
                loss.backward()
                torch.nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
                optimizer.step()
        flow.eval()
        with torch.no_grad():
            score = float(log_prob(held_out).mean())
        waited += 1
        if score > best:
            best, best_state, waited = score, copy.deepcopy(flow.state_dict()), 0
    flow.load_state_dict(best_state)
    flow.eval()

    def of_rows(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.concatenate([log_prob(torch.tensor(part, dtype=torch.float32)).numpy()
                                   for part in np.array_split(x, -(-len(x) // 10_000))]
                                  ).astype(float)

    return of_rows


def _flowjax(train: np.ndarray, test: np.ndarray, seconds: float, seed: int) -> np.ndarray:
    """flowjax's own loop stops early by itself; its time is not bounded, its epochs are."""
    import jax
    import jax.numpy as jnp
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import coupling_flow
    from flowjax.train import fit_to_data

    del seconds
    key, fit_key = jax.random.split(jax.random.key(seed))
    d = train.shape[1]
    flow = coupling_flow(
        key, base_dist=Normal(jnp.zeros(d)), flow_layers=4, nn_width=64, nn_depth=2,
        transformer=RationalQuadraticSpline(knots=8, interval=5))
    flow, _ = fit_to_data(fit_key, flow, jnp.asarray(train, jnp.float32), learning_rate=1e-3,
                          max_epochs=200, max_patience=10, batch_size=min(_BATCH, len(train) // 2),
                          show_progress=False)
    return np.asarray(flow.log_prob(jnp.asarray(test, jnp.float32)), float)
