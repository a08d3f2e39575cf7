"""`python -m experiments.analyse --workdir=runs/faces`: what the archetypes of a run are.

Adds pictures to `figures/` and figures to `summary.json`:

    archetypes.png   every archetype decoded, of each class
    compared.png     the same beside what is known of it, and beside the start of training
    paths.png        from each archetype to each other, straight through the simplex
    triangle.png     mixtures of three archetypes
    recreated.png    test examples and what is decoded of their weights
    simplex.png      the weights of the test set, coloured by label
    dirichlet.png    Dirichlet densities beside what is decoded of their draws
    nearest.png      the training examples nearest to each archetype
"""

import numpy as np
from absl import flags

from experiments import command
from flowaa.errors import UserError

_WORKDIR = command.define_workdir()
_LABEL = command.define_label()
_TRIPLE = flags.DEFINE_list("triple", ["0", "1", "2"], "The three archetypes of the triangle.")


def main() -> None:
    """Analyses what the flags say."""
    if not _WORKDIR.value:
        raise UserError("give --workdir, e.g. --workdir=runs/faces")
    try:
        triple = [int(index) for index in _TRIPLE.value]
    except ValueError:
        raise UserError("--triple: give three numbers of archetypes, e.g. --triple=0,1,2") from None
    figures = analyse(_WORKDIR.value, label=(_LABEL.value or 0), triple=triple)
    for name, value in figures.items():
        print(f"{name:40} {value:.6g}")
    print(f"pictures in {_WORKDIR.value}/figures")


def analyse(workdir: str, *, label: int, triple: list[int]) -> dict[str, float]:
    """Draws the pictures and returns what is added to `summary.json`."""
    from experiments.archetype_pictures import Pictures, archetype_names
    from flowaa.config.data import build_data
    from flowaa.run import load_run
    from flowaa.run.archetype_figures import decoded_archetypes, recorded_start, split_weights
    from flowaa.training.files.run_folder import RunFolder

    run = load_run(workdir)
    k = len(run.archetypes)  # says so where there are none
    if len(set(triple)) != 3 or not all(0 <= index < k for index in triple):
        if k >= 3:
            raise UserError(f"--triple: give three different archetypes from 0 to {k - 1}")
        triple = []
    if run.spec.n_classes and label >= run.spec.n_classes:
        raise UserError(f"--label is {label}; this run has classes 0 to {run.spec.n_classes - 1}")
    dataset, folder = build_data(run.config), RunFolder(workdir)
    weights = split_weights(run, dataset.test)
    names = archetype_names(run, dataset, weights)
    pictures = Pictures(run, dataset, folder.figures, label if run.uses_labels else None, weights,
                        names)
    pictures.draw_simplex()
    if run.spec.is_image:
        pictures.draw_all(triple, recorded_start(folder.path / "start.npz")[0])
    figures = pictures.draw_nearest()
    for name, share in zip(names, weights.mean(0), strict=True):
        figures[f"archetypes/{name}/mean_weight"] = float(share)
    if run.params is not None:  # a variational bottleneck has no density of single examples
        x = decoded_archetypes(run)  # [G, K, *shape]
        labels = np.repeat(np.arange(len(x)), k) if run.uses_labels else None
        log_prob = np.asarray(run.log_prob(x.reshape(-1, *run.spec.shape), labels))
        bits = -log_prob.reshape(len(x), k).mean(0) / np.prod(run.spec.shape) / np.log(2)
        figures |= {f"archetypes/{name}/bits_per_dim": float(value)
                    for name, value in zip(names, bits, strict=True)}
    folder.write_summary(figures)
    return figures


if __name__ == "__main__":
    command.run(main)
