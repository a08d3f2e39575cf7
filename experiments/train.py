"""`python -m experiments.train --config=configs/digits.py --workdir=runs/digits`: trains a flow.

Interrupt it whenever you like: the same command goes on where it stopped, with the same result.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from experiments import command
from flowaa.errors import UserError

if TYPE_CHECKING:
    from flowaa.data.dataset import Dataset
    from flowaa.run import Run

_CONFIG = command.define_config()
_WORKDIR = command.define_workdir()

INTERRUPTED_STATUS = 130  # what a shell gives for Ctrl-C


def main() -> None:
    """Trains what the flags say."""
    if _CONFIG.value is None or not _WORKDIR.value:
        raise UserError("give --config and --workdir, e.g. --config=configs/digits.py "
                        "--workdir=runs/digits")
    from flowaa.training.loop import TrainingInterrupted

    try:
        summary = train(_CONFIG.value, _WORKDIR.value)
    except TrainingInterrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(INTERRUPTED_STATUS)
    except OSError as error:  # a full disk has no name of its own
        raise OSError(error.errno, error.strerror, error.filename or _WORKDIR.value) from error
    for name, value in summary.items():
        print(f"{name:40} {value:.6g}")
    print(f"figures in {_WORKDIR.value}/figures; restore with flowaa.load_run({_WORKDIR.value!r})")


def train(config: ConfigDict, workdir: str) -> dict[str, float]:
    """Trains `config` in `workdir` and returns what `summary.json` holds."""
    # Imported here: `--help` should not wait for JAX.
    from flowaa.config import build
    from flowaa.data.batch_order import batch_order
    from flowaa.data.splitting import save_record
    from flowaa.run import load_run, run_of, spec_to_json
    from flowaa.training import compilation, loop
    from flowaa.training.files.run_folder import RunFolder

    build.check_ranges(config)
    compilation.enable_cache(config.training.compilation_cache)
    dataset = build.build_data(config.data, seed=config.seed)
    density = build.build_density(config, dataset.spec)
    flow_params = None
    if config.archetypes.n_archetypes and config.archetypes.pretrained:
        flow_params = load_run(config.archetypes.pretrained).params
    problem = build.build_problem(config, density, dataset, flow_params)
    options = build.build_options(config)
    # All that can be wrong with a config is found out before anything is written.
    batch_order(len(dataset.train), batch_size=options.batch_size, seed=options.seed,
                n_devices=len(options.devices))
    folder = RunFolder(workdir)
    folder.claim(config.to_dict())
    save_record(dataset, folder.path / "splits.npz")
    state, summary = loop.train(
        problem, dataset, options, folder,
        run={"config": config.to_dict(), "data": spec_to_json(dataset.spec), "seed": config.seed},
        on_evaluation=lambda rows: _save_curves(folder.figures, rows),
    )
    run = run_of(config, dataset.spec, state.evaluation_params, int(state.step))
    if config.archetypes.n_archetypes:
        from experiments.archetype_figures import archetype_figures

        summary |= archetype_figures(run, dataset)
    folder.write_summary(summary)
    if run.params is not None:
        _save_samples(folder.figures, run, dataset)
    return summary


def _save_curves(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bits/dim over the steps."""
    from flowaa.figures.curves import save_curves

    names = ("train/bits_per_dim", "validation/bits_per_dim")
    save_curves(folder / "curves.png", rows, names=names, unit="bits/dim", lowest_of=names[1])


def _save_samples(folder: Path, run: "Run", dataset: "Dataset") -> None:
    """Samples: a grid of images, a class a row in a conditional flow; points beside data."""
    import jax
    import numpy as np

    from flowaa.figures.images import save_image_grid
    from flowaa.figures.scatter import save_scatter

    n, temperature = run.config.figures.n_samples, run.config.figures.temperature
    label, n_columns = None, None
    if run.config.flow.conditional:
        n_columns = max(n // run.spec.n_classes, 1)
        label = np.repeat(np.arange(run.spec.n_classes), n_columns)
        n = len(label)
    samples = np.asarray(run.sample(jax.random.key(run.config.seed), n, label, temperature))
    if run.spec.is_image:
        value_range = run.spec.value_range
        save_image_grid(folder / "samples.png", samples, n_columns=n_columns,
                        value_range=value_range)
        some = np.asarray(dataset.test.x[np.arange(min(n, len(dataset.test)))])
        save_image_grid(folder / "data.png", some, value_range=value_range)
    elif run.spec.shape == (2,):
        rows = np.asarray(dataset.test.x[np.arange(len(dataset.test))])
        data_labels = None if label is None else dataset.test.y
        save_scatter(folder / "samples.png", rows, samples, data_labels=data_labels,
                     sample_labels=label)


if __name__ == "__main__":
    command.run(main)
