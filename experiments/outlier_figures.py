"""Pictures of outliers: walks from typical to extreme, and the laws behind the dial."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from sklearn.decomposition import PCA

from flowaa.config.data import build_data
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError
from flowaa.figures.canvas import save
from flowaa.figures.extremes import draw_gumbel_convergence, draw_return_period_walk
from flowaa.figures.walks import save_image_walk, save_point_walk
from flowaa.run import Run

_SIGMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
_PERIODS = (2.0, 1e2, 1e4, 1e6)  # half of all draws lie further out than the first
_CAPTIONS = {  # of each method, what the walk by return period n shows
    "shell": "Outliers at the radius that one draw in $n$ exceeds",
    "gumbel": "Outliers as far out as the furthest of $n$ draws",
    "simplex": "Outliers beyond the archetypes' simplex, as far as one draw in $n$"}
_N_IMAGES = 10  # directions followed in a picture of images
_N_POINTS = 1_000
_N_BLOCKS, _BLOCK = 4_000, 1_000  # simulated maxima of the radius: blocks, and draws in each


def save_walks(
    run: Run, folder: Path, *, method: str, label: int | None, seed: int
) -> list[Path]:
    """Draws the method's walk, and by deviation with "shell"; the same directions at all levels."""
    key = jax.random.key(seed)
    n = _N_IMAGES if run.spec.is_image else _N_POINTS
    labels: int | np.ndarray | None = label
    if label is None and run.density.flow.n_condition_classes:
        labels = np.arange(n) % run.spec.n_classes
    by_period = [(f"$n$ = {period:,.0f}",
                  run.sample_outliers(key, n, method, extremeness=period, label=labels))
                 for period in _PERIODS]
    walks = {f"outliers_{method}.png": (by_period, _CAPTIONS[method])}
    if method == "shell":
        by_sigma = [(f"$\\sigma$ = {sigma:g}", run.sample(key, n, labels, temperature=sigma))
                    for sigma in _SIGMAS]
        walks["outliers_sigma.png"] = (by_sigma, "Latents of growing deviation $\\sigma$")
    for name, (levels, title) in walks.items():
        arrays = [(level, np.asarray(x)) for level, x in levels]
        if run.spec.is_image:
            save_image_walk(folder / name, arrays, title=title, value_range=run.spec.value_range)
        else:
            flat = [(level, x.reshape(n, -1)) for level, x in arrays]
            grey_name, grey = grey_rows(run, label, jax.random.key(seed + 1))
            project, axis_names = _plane(grey, run.spec)
            where = "" if grey.shape[1] == 2 else ", on components of standardised data"
            save_point_walk(folder / name, project(grey),
                            [(level, project(x)) for level, x in flat], title=title + where,
                            axis_names=axis_names, data_name=grey_name)
    return [folder / name for name in walks]


def grey_rows(run: Run, label: int | None, key: jax.Array) -> tuple[str, np.ndarray]:
    """The name and rows [N, D] that outliers are shown before: training rows where there are any.

    Args:
        run: the run; its data set is read again.
        label: the class shown, or None for all.
        key: of the flow's samples, which are shown where the data set cannot be read.
    """
    try:
        train = build_data(run.config).train
    except (UserError, OSError):
        classes = run.spec.n_classes if run.density.flow.n_condition_classes else 0
        labels = np.arange(_N_POINTS) % classes if classes and label is None else label
        samples = np.asarray(run.sample(key, _N_POINTS, labels))
        return "samples of the flow", samples.reshape(_N_POINTS, -1)
    rows = np.arange(len(train))
    if label is not None and train.y is not None:
        rows = rows[train.y == label]
    rows = rows[:: -(-len(rows) // _N_POINTS) or 1]
    return "data", np.asarray(train.x[rows], np.float32).reshape(len(rows), -1)


def save_laws(d: int, folder: Path, *, method: str, seed: int) -> list[Path]:
    """Draws the law behind a method's dial in the run's d dimensions (thesis Fig. 3.1)."""
    if method == "gumbel":
        radii = np.sqrt(np.random.default_rng(seed).chisquare(d, (_N_BLOCKS, _BLOCK)))
        path, figure = "gumbel_law.png", draw_gumbel_convergence(radii.max(1), d, float(_BLOCK))
    elif method == "shell":
        path, figure = "return_levels.png", draw_return_period_walk((d,))
    else:  # how far beyond the simplex is measured on training rows, not by a law of the radius
        return []
    save(figure, folder / path)
    return [folder / path]


def _plane(
    data: np.ndarray, spec: DataSpec,
) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, str]]:
    """Where rows of more than two features are shown: the data's principal components.

    They are those of standardised rows; else the feature of the largest unit would be the first.
    """
    if data.shape[1] == 2:
        return (lambda x: x), ("$x_1$ (data units)", "$x_2$ (data units)")
    std = np.broadcast_to(np.asarray(spec.std), spec.shape).ravel()
    components = PCA(2).fit(data / std)
    first, second = components.explained_variance_ratio_
    return (lambda x: components.transform(x / std)), (
        f"principal component 1 ({100 * first:.0f} %)",
        f"principal component 2 ({100 * second:.0f} %)")
