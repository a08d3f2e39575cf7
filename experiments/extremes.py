"""How far out the data of a finished run goes, told by rows that it was not trained on.

python -m experiments.extremes --workdir=runs/digits

Writes `figures/extremes_radius.png` and `figures/extremes_nll.png`: of the latents' radii and of
the negative log-likelihoods of the run's validation rows the return levels with 95 % intervals
beside the model's own law, quantile and probability plots, and what other thresholds would give.
Of a table also `figures/extremes_features.png`: which features make its most extreme rows extreme.
`extremes.json` has the numbers: threshold, shape and its standard error, levels and intervals of 1
in 100 to 1 in 1 000 000 rows, and those of the law.
"""

from pathlib import Path

from absl import flags

from experiments import command
from flowaa.errors import UserError

_WORKDIR = command.define_workdir()
_STEP = command.define_step()
_THRESHOLD = flags.DEFINE_float(
    "quantile", None, "Share of rows below the threshold; by default about 0.9 for radii, as the "
    "run's dial has it, and chosen by goodness of fit for the log-likelihood.",
    lower_bound=0.5, upper_bound=0.99)


def main() -> None:
    """Fits, writes and draws."""
    if not _WORKDIR.value:
        raise UserError("give --workdir, the folder of a finished run")
    # Imported here: `--help` should not wait for JAX.
    from experiments.extreme_figures import held_out_tails, save_extremes
    from flowaa.run import load_run
    from flowaa.training.files.run_folder import write_json

    run = load_run(_WORKDIR.value, _STEP.value)
    folder = Path(_WORKDIR.value).expanduser()
    tails = held_out_tails(run, quantile=_THRESHOLD.value)
    pictures, figures = save_extremes(run, tails, command.figures_of(folder))
    write_json(folder / "extremes.json", figures)
    for name, tail in tails.items():
        shape = (f"shape {tail.fit.shape_:.3f} +- {tail.fit.standard_errors_[1]:.3f}"
                 if tail.fit.shape is None else
                 f"shape set to {tail.fit.shape:g}, below which no row could lie further out")
        agreed = figures.get(f"{name}/agrees_with_law")
        print(f"{name}: {figures[f'{name}/n_rows']:.0f} rows held out, the largest "
              f"{tail.fit.n_exceedances_} fitted, {shape}; one row in 1000 exceeds "
              f"{figures[f'{name}/level_1000']:.4g}"
              + ("" if agreed is None else "; the model's law "
                 + ("agrees" if agreed else "does not agree" + (
                     ": outliers go by the rows" if run.goes_by_rows else ""))))
    print(f"numbers in {folder / 'extremes.json'}; pictures: {', '.join(map(str, pictures))}")


if __name__ == "__main__":
    command.run(main)
