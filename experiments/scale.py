"""`python -m experiments.scale --config=configs/thesis.py --shape=32,32,3`: what fits where.

Compiles a config's gradient for shapes of your choice, without data and without running it, and
prints for each memory mode what a step costs and the largest batch a device holds.
"""

from absl import flags

from experiments import command
from flowaa.errors import UserError

_CONFIG = command.define_config()
_SHAPE = flags.DEFINE_list("shape", ["32", "32", "3"], "Shape of one example: H,W,C or D.")
_CLASSES = flags.DEFINE_integer("n_classes", 10, "Classes of the labels, for conditional flows.")
_BATCHES = flags.DEFINE_list("batches", ["16", "48"], "The two batch sizes that are compiled.")

_GIB = 2**30
_DEVICES_BYTES = {
    "TPU v2 core, 8 GiB": 8 * _GIB,
    "TPU v3 core, 16 GiB": 16 * _GIB,
    "GPU, 80 GB": 80 * 10**9,
}


def main() -> None:
    """Prints a table with a row for each memory mode."""
    if _CONFIG.value is None:
        raise UserError("give --config, e.g. --config=configs/thesis.py")
    shape, batches = _integers("shape", _SHAPE.value), _integers("batches", _BATCHES.value)
    if len(batches) != 2 or batches[0] >= batches[1]:
        raise UserError("--batches: give two batch sizes, the smaller first, e.g. 16,48")
    # Imported here: `--help` should not wait for JAX.
    from flowaa.config.flow import build_density
    from flowaa.config.optimizer import build_optimizer
    from flowaa.data.dataset import DataSpec
    from flowaa.flow import cost
    from flowaa.flow.reversibility import with_memory

    channels = shape[-1]
    spec = DataSpec(shape, 256, _CLASSES.value, mean=(127.5,) * channels, std=(64.0,) * channels)
    flow = build_density(_CONFIG.value, spec).flow
    optimizer = build_optimizer(_CONFIG.value)
    columns = ["temp MiB / example", "MFLOP / example", *_DEVICES_BYTES]
    print(f"{'memory':12}" + "".join(f"{column:>22}" for column in columns))
    for memory in ("stored", "reversible"):
        step = cost.step_cost(with_memory(flow, memory), optimizer, batches)
        figures = [f"{step.temp_bytes_per_example / 2**20:.3f}",
                   f"{step.flops_per_example / 1e6:.1f}",
                   *(f"batch {step.largest_batch(room):,}" for room in _DEVICES_BYTES.values())]
        print(f"{memory:12}" + "".join(f"{figure:>22}" for figure in figures))
    print(f"{step.n_params:,} parameters; {step.state_bytes / _GIB:.3f} GiB with their gradient "
          "and the optimiser's state")


def _integers(flag: str, words: list[str]) -> tuple[int, ...]:
    try:
        values = tuple(int(word) for word in words)
    except ValueError:
        raise UserError(f"--{flag}: give whole numbers, e.g. 32,32,3") from None
    if not values or min(values) < 1:
        raise UserError(f"--{flag}: give numbers of at least 1")
    return values


if __name__ == "__main__":
    command.run(main)
