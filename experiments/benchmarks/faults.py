"""What is lost when things go wrong: files that rot, batches that are poisoned, signals, kills."""

from absl import flags
from ml_collections import ConfigDict

from experiments.benchmarks import _damage, _poison, _processes
from flowaa.configs import default


def run() -> dict[str, float]:
    """Counts of what survived."""
    count = flags.FLAGS.count
    parts = {
        "damage": _damage.try_damage(small_config(), 10 * count, count),
        "poison": _poison.try_poison(count),
        "kill": _processes.try_kills(count),
        "signal": _processes.try_signals(count),
    }
    return {f"{part}/{name}": value for part, figures in parts.items()
            for name, value in figures.items()}


def small_config() -> ConfigDict:
    """A run of seconds with all that a state can have."""
    config = default.get_config("smoke")
    config.flow.n_blocks, config.flow.width, config.flow.depth = (2,), (8,), (1,)
    config.optimizer.ema_decay = 0.9
    config.training.n_devices = 1
    config.training.compilation_cache = ""
    return config.lock()
