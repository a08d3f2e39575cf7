"""The benchmark of flows: its counts, its races and its picture, with no peer and no clock."""

import importlib.util
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from configs import digits, moons, thesis
from experiments import benchmark
from experiments.benchmarks import _race, flows, memory
from flowaa.bijectors.base import bound
from flowaa.config.flow import build_density
from flowaa.data.dataset import DataSpec
from flowaa.flow import cost


def test_model_flops_are_those_of_the_subnets():
    config = thesis.get_config()
    config.flow.mixing = "none"  # permutations are not model FLOPs
    spec = DataSpec((32, 32, 3), n_levels=256, mean=(127.5,) * 3, std=(64.0,) * 3)
    flow = build_density(config, spec).flow
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    params = jax.eval_shape(lambda x: flow.lazy_init(jax.random.key(0), x, None)["params"], x)
    jaxpr = jax.make_jaxpr(lambda params, x: bound(flow, params).log_prob(x))(params, x)
    assert cost.count_flops(jaxpr.jaxpr) == 2 * 2 * flows.forward_macs(config.flow, (32, 32, 3))


@pytest.fixture(scope="module")
def digits_task() -> _race.Task:
    return _race.Task(digits.get_config())


def test_points_are_in_the_units_of_a_logit(digits_task):
    points = digits_task.test
    share = 1e-3 + (1 - 2e-3) * (points.x + points.noise) / 17
    np.testing.assert_allclose(points.y, np.log(share / (1 - share)), rtol=1e-4, atol=1e-4)
    slope = (1 - 2e-3) / 17 / (share * (1 - share))
    log_volume = np.log(slope).reshape(len(share), -1).sum(1).mean()
    assert points.log_volume == pytest.approx(log_volume, rel=1e-5)
    assert 0 <= points.noise.min() < 0.01 < 0.99 < points.noise.max() < 1


def test_batches_are_all_rows_with_fresh_noise(digits_task):
    batches = digits_task.batches()
    n_rows = len(digits_task.dataset.train)
    size = digits_task.config.training.batch_size
    epochs = [np.concatenate([next(batches) for _ in range(n_rows // size)]) for _ in range(2)]
    share = 1 / (1 + np.exp(-epochs[0].astype(np.float64)))
    x = 17 * (share - 1e-3) / (1 - 2e-3)
    rows = {row.tobytes() for row in digits_task.dataset.train.x}
    seen = [row.tobytes() for row in np.floor(x).astype(np.uint8)]
    # The logit in float32 is not exact to the last bit next to a level.
    assert np.mean([row in rows for row in seen]) > 0.99
    assert len(set(seen)) == len(seen)
    assert not np.array_equal(np.sort(epochs[0], axis=0), np.sort(epochs[1], axis=0))


class _Fake:
    """A racer whose clock moves a second a call, and whose NLL is scripted."""

    def __init__(self, clock: list[float], nlls: list[float]) -> None:
        self.clock, self.nlls, self.shares, self.now = clock, nlls, [], -1

    def train(self, learning_rate_share):
        self.clock[0] += 1.0
        self.shares.append(learning_rate_share)
        self.now = min(self.now + 1, len(self.nlls) - 1)
        return 10

    def nll(self, points):
        return self.nlls[self.now] + (100.0 if points is _POINTS["test"] else 0.0)

    def state(self):
        return self.now

    def restore(self, state):
        self.now = state


_POINTS = {"validation": object(), "test": object()}


class _FakeTask:
    validation, test = _POINTS["validation"], _POINTS["test"]


def test_a_race_keeps_the_state_that_is_best_on_validation(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(_race.time, "perf_counter", lambda: clock[0])
    racer = _Fake(clock, [9.0, 8.0, math.nan, 3.0, 7.0, 2.0, 5.0, 6.0])
    result = _race.race(lambda task: racer, _FakeTask(), wall_s=8.0, evaluate_every_s=1.5)
    # Looked at after calls 1, 3, 5 and 7 and at the end: 2.0, of the sixth call, is not seen.
    assert result == _race.Result(test_nll=105.0, validation_nll=5.0, n_steps=80)
    assert racer.shares[0] == racer.shares[1] == 1.0
    assert all(np.diff(racer.shares[1:]) < 0)
    assert racer.shares[-1] == pytest.approx(0.5 + 0.5 * math.cos(math.pi * 6 / 7))


def test_a_share_scales_the_whole_update():
    params = {"w": jnp.array([2.0, -3.0])}
    optimizer = optax.chain(optax.adamw(1e-3, weight_decay=0.1), _race.scale_by_share())
    state = optimizer.init(params)
    full, (_, share) = optimizer.update(params, state, params)
    assert share == 1.0
    half, _ = optimizer.update(params, (state[0], jnp.float32(0.5)), params)
    np.testing.assert_allclose(half["w"], 0.5 * full["w"], rtol=1e-6)
    reference, _ = optax.adamw(1e-3, weight_decay=0.1).update(params, state[0], params)
    np.testing.assert_allclose(full["w"], reference["w"], rtol=1e-6)


def test_ours_learns_in_a_race_and_goes_back_to_its_best():
    from experiments.benchmarks._ours import OurRacer

    config = moons.get_config()
    config.flow.n_blocks, config.flow.width = (2,), (16,)
    config.optimizer.warmup_steps, config.optimizer.ema_decay = 0, 0.9
    task = _race.Task(config)
    racer = OurRacer(task)
    racer.train(0.0)
    start = racer.nll(task.test)
    # A fresh flow is the identity: standard normal in standardised units.
    std = np.asarray(task.dataset.spec.std)
    z = (task.test.x - np.asarray(task.dataset.spec.mean)) / std
    expected = 0.5 * (z**2).sum(1).mean() + math.log(2 * math.pi) + np.log(std).sum()
    assert start == pytest.approx(expected, rel=1e-5)
    kept = racer.state()
    racer.train(1.0)
    assert racer.nll(task.test) < start - 0.05
    racer.restore(kept)
    assert racer.nll(task.test) == start


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="the extra bench")
def test_saved_memory_counts_each_storage_once():
    import torch

    from experiments.benchmarks._torch import saved_bytes

    model = torch.nn.Linear(8, 4)

    def log_prob(y):
        hidden = torch.sigmoid(model(y))  # the input and the sigmoid's output are kept,
        return (hidden * hidden).sum(1)  # the latter by the product as well

    n_bytes = saved_bytes(model, log_prob, np.zeros((16, 8), np.float32))
    assert n_bytes == 4 * 16 * (8 + 4)


def test_a_missing_peer_is_named_and_left_out(monkeypatch, capsys):
    def refuse(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(flows.importlib, "import_module", refuse)
    assert flows.import_peers("freia", "flowjax") == {}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "freia is left out" in lines[0]
    assert "bench" in lines[0]


def test_figures_are_written_and_drawn_beside(tmp_path, monkeypatch):
    figures = {"thesis/ours_step_s": 0.2, "thesis/ours_memory_mib": 80.0,
               "toy/ours_steps_per_s": 300.0, "toy/ours_memory_mib": 3.0,
               "digits/bits_per_dim_ours": 1.9, "moons/test_nll_ours": 1.02,
               "moons/test_nll_freia": 1.04}
    monkeypatch.setattr(flows, "run", lambda: figures)
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(out=str(tmp_path / "flows.json")):
        benchmark.main("flows")
    assert json.loads((tmp_path / "flows.json").read_text()) == figures
    assert Image.open(tmp_path / "flows.png").size[0] > 1000


def test_what_could_not_be_measured_is_null(tmp_path, monkeypatch):
    """NaN is no JSON."""
    monkeypatch.setattr(memory, "run", lambda: {"a": float("nan"), "b": math.inf, "c": 1.0})
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(out=str(tmp_path / "memory.json")):
        benchmark.main("memory")
    found = json.loads((tmp_path / "memory.json").read_text(), parse_constant=pytest.fail)
    assert found == {"a": None, "b": None, "c": 1.0}


@pytest.mark.skipif(importlib.util.find_spec("FrEIA") is None, reason="the extra bench")
def test_the_peers_network_is_the_thesis_s():
    from experiments.benchmarks import _freia

    parameters = list(_freia.thesis_model().parameters())
    fixed = [parameter for parameter in parameters if not parameter.requires_grad]
    assert sum(parameter.numel() for parameter in parameters) == 8_041_968  # the thesis, 4.2
    assert sum(parameter.numel() for parameter in fixed) == 13_008
