"""Training from a config to a run's folder, by one call."""

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from flowaa.arguments import check_memory
from flowaa.config.archetypes import build_archetypes, read_archetypes
from flowaa.config.automatic import resolve_architecture
from flowaa.config.check import check_config
from flowaa.config.data import build_data, given_data
from flowaa.config.fields import read
from flowaa.config.flow import FlowFields, build_density
from flowaa.config.problem import build_problem
from flowaa.config.tails import resolve_tails
from flowaa.config.training import FigureFields, TrainingFields, build_options
from flowaa.data.batch_order import batch_order, fitting_batch_size
from flowaa.data.dataset import Dataset
from flowaa.data.splitting import save_record
from flowaa.errors import warn
from flowaa.figures.curves import save_curves
from flowaa.figures.images import save_image_grid
from flowaa.figures.scatter import save_scatter
from flowaa.outliers.scores import save_rows
from flowaa.run.archetype_figures import (
    archetype_figures,
    linear_figures,
    recorded_start,
    with_recorded_start,
)
from flowaa.run.loading import params_like, run_of, spec_to_json
from flowaa.run.pretrained import pretrained_flow
from flowaa.run.run import Run
from flowaa.run.trust import trust_figures
from flowaa.training import loop
from flowaa.training.files.compilation_cache import enable_cache
from flowaa.training.files.finite import only_finite
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.hosts.agreement import check_same, main_first, on_main, told_by_main
from flowaa.training.hosts.joining import telling_of_lost_hosts
from flowaa.training.state import n_params


def train(
    config: ConfigDict, workdir: str | os.PathLike[str], *, data: Any = None
) -> Run:
    """Trains what a config describes; the same call goes on where an interrupted one stopped.

    Args:
        config: of `flowaa.configs`, perhaps changed.
        workdir: the run's folder; it is made.
        data: what to train on: x, an array or a pandas table of rows [n, D] or images
            [n, H, W, C]; or (x, y) with labels; or a mapping with x, y, context, x_test, …; or a
            `Dataset`. None loads what `config.data` names. The run does not keep it.

    Returns:
        The run at the checkpoint that was best on validation, as `load_run(workdir)` restores it.

    Raises:
        UserError: the config, the data or the folder is not fit for it; nothing was written then.
            Or the loss is no longer finite.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP asked to stop; the state was saved.
        HostLost: another process of a training on many hosts is gone.
    """
    with telling_of_lost_hosts():
        return _train(config, workdir, data)


def _train(config: ConfigDict, workdir: str | os.PathLike[str], data: Any) -> Run:
    """Trains; all hosts call it, and the main one alone reads and writes the run's folder."""
    check_config(config)
    enable_cache(read(TrainingFields, config).compilation_cache)
    if data is None:
        dataset = main_first(lambda: build_data(config))
    else:
        config, dataset = given_data(config, data)
    config, dataset, tail_shapes = resolve_tails(config, dataset)
    config = resolve_architecture(config, dataset.spec, len(dataset.train))
    density = build_density(config, dataset.spec, tail_shapes)
    archetypes = read_archetypes(config)
    model = build_archetypes(config, dataset.spec, density) or density
    count = n_params(params_like(dataset.spec, model))
    # float32, each with its gradient and two moments of Adam
    check_memory(4 * 4 * count, f"flow: the model has {count:,} parameters, whose training needs",
                 "lower flow.width, flow.depth or flow.n_blocks")
    if dataset.spec.context_width and not density.flow.context_mean:
        warn("the data's context is not used: the flow is not conditional; see "
             "config.flow.conditional=True")
    problem = build_problem(config, density, dataset, pretrained_flow(config, dataset.spec))
    options = build_options(config)
    options = dataclasses.replace(options, batch_size=fitting_batch_size(
        options.batch_size, n_rows=len(dataset.train), n_devices=len(options.devices)))
    # All that can be wrong with a config is found out before anything is written.
    batch_order(len(dataset.train), batch_size=options.batch_size, seed=options.seed,
                n_devices=len(options.devices))
    described = {"data": spec_to_json(dataset.spec), "seed": config.seed}
    check_same("config or data", [config.to_dict(), described, len(dataset.train),
                                  len(dataset.validation), len(dataset.test)])
    folder = RunFolder(workdir)
    with contextlib.ExitStack() as stack:
        on_main(lambda: stack.enter_context(folder.claimed(config.to_dict())))
        on_main(lambda: save_record(dataset, folder.path / "splits.npz"))
        if archetypes.n_archetypes:
            problem = with_recorded_start(problem, config, dataset, folder.path / "start.npz")
        state, summary = loop.train(
            problem, dataset, options, folder, run={"config": config.to_dict(), **described},
            on_evaluation=lambda rows: _save_curves(folder.figures, rows),
        )
        run = run_of(config, dataset.spec, state.evaluation_params, int(state.step))
        summary = told_by_main(lambda: _finish(run, dataset, folder, summary))
    return dataclasses.replace(run, summary=summary, folder=folder.path)


def _finish(
    run: Run, dataset: Dataset, folder: RunFolder, summary: dict[str, float]
) -> dict[str, float]:
    """Judges a trained run, writes its summary and its figures, and returns the summary."""
    if read_archetypes(run.config).n_archetypes:
        figures = archetype_figures(run, dataset) | linear_figures(run, dataset)
        summary |= {f"test/{name}": value for name, value in figures.items()}
        start = recorded_start(folder.path / "start.npz")[1]
        summary |= {f"start/{name}": value for name, value in start.items()}
    if run.params is not None:
        summary |= trust_figures(run, dataset)
    summary = only_finite(summary, "the final figures")
    folder.write_summary(summary)
    if run.params is not None:
        _save_samples(folder.figures, run, dataset)
        save_rows(folder.path / "reference.npz", dataset)
    return summary


def _save_curves(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bits/dim over the steps."""
    names = ("train/bits_per_dim", "validation/bits_per_dim")
    save_curves(folder / "curves.png", rows, names=names, unit="bits/dim", lowest_of=names[1])


def _save_samples(folder: Path, run: Run, dataset: Dataset) -> None:
    """Samples: a grid of images, a class a row in a conditional flow; points beside data."""
    figures = read(FigureFields, run.config)
    n, label, context, n_columns = figures.n_samples, None, None, None
    is_conditional = read(FlowFields, run.config).conditional
    if is_conditional and run.spec.n_classes:
        n_columns = max(n // run.spec.n_classes, 1)
        label = np.repeat(np.arange(run.spec.n_classes), n_columns)
        n = len(label)
    if is_conditional and dataset.test.context is not None:
        context = dataset.test.context[np.arange(n) % len(dataset.test)]
    samples = np.asarray(run.sample(
        jax.random.key(run.config.seed), n, label, figures.temperature, context=context))
    if run.spec.is_image:
        value_range = run.spec.value_range
        save_image_grid(folder / "samples.png", samples, n_columns=n_columns,
                        value_range=value_range)
        of_data = np.asarray(dataset.test.x[np.arange(min(n, len(dataset.test)))])
        save_image_grid(folder / "data.png", of_data, value_range=value_range)
    elif run.spec.shape == (2,):
        rows = np.asarray(dataset.test.x[np.arange(len(dataset.test))])
        data_labels = None if label is None else dataset.test.y
        save_scatter(folder / "samples.png", rows, samples, data_labels=data_labels,
                     sample_labels=label)
