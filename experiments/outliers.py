"""Draws outliers of a finished run at a stated extremeness.

python -m experiments.outliers --workdir=runs/digits --extremeness=1e6

Writes `outliers/METHOD_EXTREMENESS.npz` into the run's folder: x in data units and, of each, the
latent z, log_prob (nats), radius (deviations), return_period (draws) and, of a conditional run,
label and class_return_period. Pictures into `figures/`: `outliers_METHOD.png` walks from typical to
extreme by return period; shell also draws a walk by the latents' deviation (`outliers_sigma.png`)
and the law of its radius (`return_levels.png`), gumbel its own law (`gumbel_law.png`).
"""

from collections.abc import Iterator
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
_METHOD = flags.DEFINE_enum(
    "method", "shell", ["shell", "gumbel", "simplex"],
    "shell: at the latent radius that one draw in `extremeness` exceeds; "
    "gumbel: like the furthest of so many; simplex: beyond the archetypes' simplex.")
_EXTREMENESS = flags.DEFINE_float("extremeness", 1e4, "Return period in draws, at least 1.")
_N = flags.DEFINE_integer("n", 1000, "Outliers to draw.")
_LABEL = command.define_label()  # by default each as often
_SEED = flags.DEFINE_integer(
    "seed", 0, "Governs all draws.", lower_bound=0, upper_bound=2**32 - 1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "Draws at a time.")



def main() -> None:
    """Draws, saves and shows."""
    if not _WORKDIR.value:
        raise UserError("give --workdir, the folder of a finished run")
    # Imported here: `--help` should not wait for JAX.
    from experiments.outlier_figures import save_laws, save_walks
    from flowaa.run import load_run

    run = load_run(_WORKDIR.value, _STEP.value)
    folder = Path(_WORKDIR.value).expanduser()
    file = folder / "outliers" / f"{_METHOD.value}_{_EXTREMENESS.value:g}.npz"
    save_outliers(run, file, method=_METHOD.value, extremeness=_EXTREMENESS.value, n=_N.value,
                  label=_LABEL.value, seed=_SEED.value, batch_size=_BATCH_SIZE.value)
    pictures = save_walks(run, folder / "figures", method=_METHOD.value, label=_LABEL.value,
                          seed=_SEED.value)
    pictures += save_laws(run.density.flow.n_dims, folder / "figures", method=_METHOD.value,
                          seed=_SEED.value)
    if _METHOD.value != "simplex":
        dial = run.radius_dial
        print("radii: by the model's law; the run keeps too few validation rows to check it"
              if dial is None else
              f"radii: by {len(dial.radii)} validation rows, which contradict the model's law"
              if run.goes_by_rows else
              f"radii: by the model's law, with which {len(dial.radii)} validation rows agree"
              if dial.agrees_with_law(run.density.flow.n_dims) else
              f"radii: by the model's law, which {len(dial.radii)} validation rows contradict; the "
              "flow's own tails fall as powers")
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


if __name__ == "__main__":
    command.run(main)
