"""Draws outliers of a finished run at a stated extremeness.

python -m experiments.outliers --workdir=runs/digits --extremeness=1e6

Writes `outliers/METHOD_EXTREMENESS.npz` into the run's folder: x in data units and, of each, the
latent z, log_prob (nats), radius (deviations), return_period (draws) and label; and pictures
into `figures/`: two walk from typical to extreme, by the latents' deviation and by return period,
two show the laws behind the dial.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from experiments import command
from flowaa.errors import UserError

if TYPE_CHECKING:
    from flowaa.run import Run

_WORKDIR = command.define_workdir()
_STEP = command.define_step()
_METHOD = flags.DEFINE_string(
    "method", "shell", "shell: at the latent radius that one draw in `extremeness` exceeds; "
    "gumbel: like the furthest of so many; simplex: beyond the archetypes' simplex.")
_EXTREMENESS = flags.DEFINE_float("extremeness", 1e4, "Return period in draws, at least 1.")
_N = flags.DEFINE_integer("n", 1000, "Outliers to draw.")
_LABEL = command.define_label()  # by default each as often
_SEED = flags.DEFINE_integer("seed", 0, "Governs all draws.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "Draws at a time.")

_SIGMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
_PERIODS = (1.0, 1e2, 1e4, 1e6)
_N_IMAGES = 10  # directions followed in a picture of images
_N_POINTS = 1_000
_N_BLOCKS, _BLOCK = 4_000, 1_000  # simulated maxima of the radius: blocks, and draws in each


def main() -> None:
    """Draws, saves and shows."""
    if not _WORKDIR.value:
        raise UserError("give --workdir, the folder of a finished run")
    # Imported here: `--help` should not wait for JAX.
    from flowaa.run import load_run

    run = load_run(_WORKDIR.value, _STEP.value)
    folder = Path(_WORKDIR.value).expanduser()
    file = folder / "outliers" / f"{_METHOD.value}_{_EXTREMENESS.value:g}.npz"
    save_outliers(run, file, method=_METHOD.value, extremeness=_EXTREMENESS.value, n=_N.value,
                  label=_LABEL.value, seed=_SEED.value, batch_size=_BATCH_SIZE.value)
    pictures = save_walks(run, folder / "figures", method=_METHOD.value, label=_LABEL.value,
                          seed=_SEED.value)
    pictures += save_laws(run.density.flow.n_dims, folder / "figures", seed=_SEED.value)
    print(f"{_N.value} outliers in {file}; pictures: {', '.join(map(str, pictures))}")


def save_outliers(
    run: "Run", file: Path, *, method: str, extremeness: float, n: int, label: int | None,
    seed: int, batch_size: int,
) -> None:
    """Writes n outliers and their numbers, in bounded memory, with a progress bar."""
    import jax
    from tqdm import tqdm

    from flowaa.data.files.npz_stream import write_npz

    def columns() -> Iterator[dict[str, np.ndarray]]:
        with tqdm(total=n, unit="outlier", dynamic_ncols=True) as bar:
            for index, start in enumerate(range(0, n, batch_size)):
                # The last batch is drawn whole, so that nothing is compiled twice, and cut.
                drawn = run.draw_outliers(
                    jax.random.fold_in(jax.random.key(seed), index), batch_size, method,
                    extremeness=extremeness, label=label)
                size = min(batch_size, n - start)
                yield {name: np.asarray(column)[:size]
                       for name, column in drawn._asdict().items() if column is not None}
                bar.update(size)

    if n < 1 or batch_size < 1:
        raise UserError(f"n is {n} and batch_size {batch_size}; both must be at least 1")
    batch_size = min(batch_size, n)
    write_npz(file, columns(), n_rows=n, large="x")


def save_walks(
    run: "Run", folder: Path, *, method: str, label: int | None, seed: int
) -> list[Path]:
    """Draws both walks; the same directions at every level."""
    import jax

    from flowaa.figures.walks import save_image_walk, save_point_walk

    key = jax.random.key(seed)
    n = _N_IMAGES if run.spec.is_image else _N_POINTS
    labels: int | np.ndarray | None = label
    if label is None and run.density.flow.n_condition_classes:
        labels = np.arange(n) % run.spec.n_classes
    by_sigma = [(f"$\\sigma$ = {sigma:g}", run.sample(key, n, labels, temperature=sigma))
                for sigma in _SIGMAS]
    by_period = [(f"1 in {period:,.0f}",
                  run.sample_outliers(key, n, method, extremeness=period, label=labels))
                 for period in _PERIODS]
    walks = {"outliers_sigma.png": (by_sigma, "Latents of growing deviation"),
             f"outliers_{method}.png": (by_period, f"Outliers by return period, {method}")}
    for name, (levels, title) in walks.items():
        arrays = [(level, np.asarray(x)) for level, x in levels]
        if run.spec.is_image:
            save_image_walk(folder / name, arrays, title=title, value_range=run.spec.value_range)
        else:
            flat = [(level, x.reshape(n, -1)) for level, x in arrays]
            data = np.asarray(run.sample(jax.random.key(seed + 1), n, labels)).reshape(n, -1)
            project, axis_names = _plane(data)
            save_point_walk(folder / name, project(data),
                            [(level, project(x)) for level, x in flat], title=title,
                            axis_names=axis_names)
    return [folder / name for name in walks]


def save_laws(d: int, folder: Path, *, seed: int) -> list[Path]:
    """Draws the laws behind the dial in the run's d dimensions (thesis Fig. 3.1)."""
    from flowaa.figures.canvas import save
    from flowaa.figures.extremes import draw_gumbel_convergence, draw_return_period_walk

    radii = np.sqrt(np.random.default_rng(seed).chisquare(d, (_N_BLOCKS, _BLOCK)))
    figures = {"gumbel_law.png": draw_gumbel_convergence(radii.max(1), d, float(_BLOCK)),
               "return_levels.png": draw_return_period_walk((d,))}
    for name, figure in figures.items():
        save(figure, folder / name)
    return [folder / name for name in figures]


def _plane(
    data: np.ndarray,
) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[str, str]]:
    """Where rows of more than two features are shown: the data's principal components."""
    names = ("$x_1$ (data units)", "$x_2$ (data units)")
    if data.shape[1] == 2:
        return (lambda x: x), names
    from sklearn.decomposition import PCA

    components = PCA(2).fit(data)
    return components.transform, ("first principal component", "second principal component")


if __name__ == "__main__":
    command.run(main)
