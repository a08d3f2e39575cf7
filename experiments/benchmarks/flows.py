"""Ours beside FrEIA, normflows and flowjax: a step's time and memory, and NLL for equal time.

Peers come with the extra `bench`; one that is missing is named in a line and left out. All run on
the CPU with all its cores. The two architectures that are timed are those of configs/thesis.py and
configs/mixture.py; in the races every library brings what suits it best.
"""

import functools
import importlib
import itertools
import timeit
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.benchmarks import _ours
from experiments.benchmarks._bars import Panel, save_bars
from experiments.benchmarks._race import Racer, Task, race
from experiments.benchmarks._timing import Side, median_s
from flowaa.configs import digits, mixture, moons, thesis

_PEERS = ("freia", "normflows", "flowjax")
_WALL_S = 60.0  # of each race, building and compiling included
_EVALUATE_EVERY_S = 3.0
_N_ROUNDS = 9
_ROUND_S = 0.3  # of each side in each round, at least one call
_MATMUL_SIZE = 2048
_N_BATCHES = 32  # made before the clock runs, and cycled through
_MIB = 2**20

Rows = dict[str, dict[str, float]]  # library -> quantity -> value
Figures = dict[str, float]


def run() -> Figures:
    """Times the thesis's network and the toy flow, then races on digits and moons."""
    peers = import_peers(*_PEERS)
    figures = _thesis(peers)
    figures |= toy(peers)
    for name, config in (("digits", digits.get_config()), ("moons", moons.get_config())):
        figures |= _race(name, config, peers)
    return figures


def draw(figures: Figures, path: Path) -> None:
    """Draws what `run` returned."""
    def values(prefix: str, suffix: str, factor: float = 1.0) -> dict[str, float]:
        keys = [key for key in figures if key.startswith(prefix) and key.endswith(suffix)]
        names = [key.removeprefix(prefix).removesuffix(suffix) for key in keys]
        return {name.replace("_", " "): factor * figures[key]
                for name, key in zip(names, keys, strict=True)}

    panels = [
        Panel("Thesis's network, batch 64", "ms a step (lower is better)",
              values("thesis/", "_step_s", 1e3)),
        Panel("Thesis's network, batch 64", "MiB for the gradient (lower is better)",
              values("thesis/", "_memory_mib")),
        Panel("Digits, 60 s of training", "test bits/dim (lower is better)",
              values("digits/bits_per_dim_", "")),
        Panel("2-D toy flow, batch 256", "steps a second (higher is better)",
              values("toy/", "_steps_per_s")),
        Panel("2-D toy flow, batch 256", "MiB for the gradient (lower is better)",
              values("toy/", "_memory_mib")),
        Panel("Moons, 60 s of training", "test NLL, nats (lower is better)",
              values("moons/test_nll_", "")),
    ]
    save_bars(path, panels, highlight="ours", title="Training on the CPU")


def import_peers(*names: str) -> dict[str, ModuleType]:
    """The peers' modules; says in a line which of them are not installed."""
    peers = {}
    for name in names:
        try:
            peers[name] = importlib.import_module(f"experiments.benchmarks._{name}")
        except ImportError as error:
            print(f"{name} is left out: {error}; pip install -e '.[bench]'")
    return peers


def _thesis(peers: Mapping[str, ModuleType]) -> Figures:
    """A step of the thesis's network on random images, and its share of the matmul limit."""
    config = thesis.get_config()
    batch_size = config.training.batch_size
    images = np.random.default_rng(0).normal(size=(_N_BATCHES, batch_size, 3, 32, 32))
    batches = itertools.cycle(images.astype(np.float32))
    sides = {"ours": _ours.side(config, _ours.random_images(10 * batch_size, side=32))}
    for name in ("freia", "normflows"):  # flowjax's flows are of vectors
        if name in peers:
            sides |= peers[name].thesis(batches)
    rows = _measure({**sides, "matmul": Side(_matmul())}, batch_size)
    flops_per_s = 2 * _MATMUL_SIZE**3 / rows.pop("matmul")["step_s"]
    _print_table("Thesis's network, batch 64", rows)
    model_flops = 3 * 2 * batch_size * forward_macs(config.flow, (32, 32, 3))
    return {
        **_flatten("thesis", rows),
        **_ratios("thesis", "{peer}_over_ours", rows),
        "thesis/model_gflop": model_flops / 1e9,
        "thesis/matmul_gflop_per_s": flops_per_s / 1e9,
        "thesis/matmul_fraction": model_flops / rows["ours"]["step_s"] / flops_per_s,
    }


def toy(peers: Mapping[str, ModuleType]) -> Figures:
    """A step of the 2-D flow on the mixture."""
    config = mixture.get_config()
    config.optimizer.name = "adam"  # as the peers
    batch_size, width, n_blocks = 256, config.flow.width[0], config.flow.n_blocks[0]
    task = Task(config)
    batches = itertools.cycle(list(itertools.islice(task.batches(), _N_BATCHES)))
    sides = {"ours": _ours.side(config, task.dataset)}
    for peer in peers.values():
        sides |= peer.toy(batches, width=width, n_blocks=n_blocks)
    rows = _measure(sides, batch_size)
    for row in rows.values():
        row["steps_per_s"] = 1.0 / row["step_s"]
    _print_table("2-D toy flow, batch 256", rows)
    return {
        **_flatten("toy", rows),
        **_ratios("toy", "ours_over_{peer}", rows),
    }


def _race(name: str, config: ConfigDict, peers: Mapping[str, ModuleType]) -> Figures:
    """Test NLL of the state that is best on validation, after equal wall time."""
    task = Task(config)
    makers: dict[str, Callable[[Task], Racer]] = {"ours": _ours.OurRacer}
    makers |= {library: getattr(peer, name) for library, peer in peers.items()}
    rows: Rows = {}
    for library, make in makers.items():
        result = race(make, task, wall_s=_WALL_S, evaluate_every_s=_EVALUATE_EVERY_S)
        rows[library] = {"test_nll": result.test_nll}
        if task.dataset.spec.n_levels:
            rows[library]["bits_per_dim"] = task.bits_per_dim(result.test_nll)
        rows[library] |= {"validation_nll": result.validation_nll, "steps": result.n_steps}
    _print_table(f"{name}, {_WALL_S:.0f} s of training", rows)
    return {f"{name}/{quantity}_{library}": value
            for library, row in rows.items() for quantity, value in row.items()}


def _measure(sides: Mapping[str, Side], batch_size: int) -> Rows:
    """Step time, throughput, memory and compile time of each side, measured in turn."""
    for side in sides.values():
        side.call()
    rounds = {name: max(1, round(_ROUND_S / timeit.timeit(side.call, number=1)))
              for name, side in sides.items()}
    medians = median_s(
        [functools.partial(_repeat, side.call, rounds[name]) for name, side in sides.items()],
        n_rounds=_N_ROUNDS,
    )
    rows: Rows = {}
    for (name, side), round_s in zip(sides.items(), medians, strict=True):
        call_s = round_s / rounds[name]
        step_s = call_s / side.n_steps
        rows[name] = {"step_s": step_s, "examples_per_s": batch_size / step_s}
        if side.memory_bytes is not None:
            rows[name]["memory_mib"] = side.memory_bytes / _MIB
        if side.compile_s is not None:
            rows[name]["compile_s"] = side.compile_s
    return rows


def _repeat(call: Callable[[], object], n: int) -> None:
    for _ in range(n):
        call()


def _matmul() -> Callable[[], object]:
    """The product by which the machine's peak is measured, float32."""
    a, b = jax.random.normal(jax.random.key(0), (2, _MATMUL_SIZE, _MATMUL_SIZE))
    product = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(product(a, b))


def forward_macs(flow: ConfigDict, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of the subnets of two-sided affine blocks, for one image of (H, W, C).

    They are what any implementation of the model must do: permutations, laws and the like, which
    can be done in other ways, are left out.
    """
    height, width, channels = shape
    n_macs = 0
    for stage, reshape in enumerate(flow.reshape):
        if reshape == "squeeze":
            height, width, channels = height // 2, width // 2, 4 * channels
        elif reshape == "flatten":
            height, width, channels = 1, 1, height * width * channels
        half, hidden = channels // 2, flow.width[stage]
        n_weights = hidden * (half + (flow.depth[stage] - 1) * hidden + 2 * half)
        kernels = itertools.cycle(flow.kernel_sizes[stage])
        for kernel in itertools.islice(kernels, flow.n_blocks[stage]):
            n_macs += 2 * height * width * kernel**2 * n_weights
    return n_macs


def _flatten(group: str, rows: Rows) -> Figures:
    return {f"{group}/{library}_{quantity}": value
            for library, row in rows.items() for quantity, value in row.items()}


def _ratios(group: str, name: str, rows: Rows) -> Figures:
    """A peer's step time over ours, for each peer."""
    return {f"{group}/{name.format(peer=peer)}": row["step_s"] / rows["ours"]["step_s"]
            for peer, row in rows.items() if peer != "ours"}


def _print_table(title: str, rows: Rows) -> None:
    """A line a library, a column a quantity."""
    quantities = list(dict.fromkeys(quantity for row in rows.values() for quantity in row))
    print(f"\n{title}\n{'':22}" + "".join(f"{quantity:>16}" for quantity in quantities))
    for library, row in rows.items():
        cells = [f"{row[quantity]:.4g}" if quantity in row else "-" for quantity in quantities]
        print(f"{library:22}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
