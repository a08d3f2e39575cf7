"""`python -m experiments.analyse --workdir=runs/faces`: what the archetypes of a run are.

Adds pictures to `figures/` and figures to `summary.json`:

    archetypes.png   every archetype decoded, of each class
    paths.png        from each archetype to each other, straight through the simplex
    triangle.png     mixtures of three archetypes
    recreated.png    test examples and what is decoded of their weights
    simplex.png      the weights of the test set, coloured by label
    dirichlet.png    Dirichlet densities beside what is decoded of their draws
    nearest.png      the training examples nearest to each archetype
"""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from experiments import command
from flowaa.errors import UserError

if TYPE_CHECKING:
    from flowaa.data.dataset import Dataset
    from flowaa.run import Run

_WORKDIR = command.define_workdir()
_LABEL = command.define_label()
_TRIPLE = flags.DEFINE_list("triple", ["0", "1", "2"], "The three archetypes of the triangle.")

_N_NEAREST = 6
_N_RECREATED = 12
_N_DRAWS = 6
_PATH_STEPS = 9
_MAX_PATHS = 15
_TRIANGLE_STEPS = 6


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
    from flowaa.config.data import build_data
    from flowaa.run import load_run
    from flowaa.run.archetype_figures import archetype_figures, split_weights
    from flowaa.training.files.run_folder import RunFolder

    run = load_run(workdir)
    k = len(run.archetypes)  # says so where there are none
    if len(set(triple)) != 3 or not all(0 <= index < k for index in triple):
        if k >= 3:
            raise UserError(f"--triple: give three different archetypes from 0 to {k - 1}")
        triple = []
    if run.spec.n_classes and label >= run.spec.n_classes:
        raise UserError(f"--label is {label}; this run has classes 0 to {run.spec.n_classes - 1}")
    dataset = build_data(run.config)
    weights = split_weights(run, dataset.test)
    names = archetype_names(run, dataset, weights)
    folder = RunFolder(workdir)
    pictures = Pictures(run, dataset, folder.figures, label if run.spec.n_classes else None, names)
    pictures.draw_simplex(weights)
    if run.spec.is_image:
        pictures.draw_archetypes()
        pictures.draw_paths()
        pictures.draw_recreated(weights)
        if triple:
            pictures.draw_triangle(triple)
            pictures.draw_dirichlet(triple)
    figures = {**archetype_figures(run, dataset), **pictures.draw_nearest(),
               **_densities(run, names), **_against_truth(run, dataset, weights)}
    for name, share in zip(names, weights.mean(0), strict=True):
        figures[f"archetypes/{name}/mean_weight"] = float(share)
    folder.write_summary(figures)
    return figures


def archetype_names(run: "Run", dataset: "Dataset", weights: np.ndarray) -> list[str]:
    """What archetypes are called: the scores that they match, or numbers."""
    from flowaa.archetypes.classical.comparison import match

    k = weights.shape[1]
    names = [f"archetype {index}" for index in range(k)]
    true = dataset.test.side
    if true is not None and true.shape[1] == k and run.spec.side_names:
        for name, column in zip(run.spec.side_names, match(weights, true), strict=True):
            names[column] = name
    return names


class Pictures:
    """The pictures of one run, each a method."""

    def __init__(self, run: "Run", dataset: "Dataset", folder: Path, label: int | None,
                 names: list[str]) -> None:
        """`label` is the class that mixtures are decoded for, or None where there are none."""
        self._run, self._dataset, self._folder = run, dataset, folder
        self._label, self._names = label, names
        self._range = run.spec.value_range
        of_class = "" if label is None else f" ({self._class_name(label)})"
        self._of_class = of_class

    def draw_simplex(self, weights: np.ndarray) -> None:
        """The test set's weights."""
        from flowaa.figures.simplex import save_simplex

        save_simplex(self._folder / "simplex.png", weights, self._names,
                     labels=self._dataset.test.y, label_names=self._run.spec.class_names,
                     title=f"weights of the test set ({len(weights)} examples)")

    def draw_archetypes(self) -> None:
        """Each class a row, each archetype a column."""
        from flowaa.figures.simplex import save_image_table

        k = len(self._names)
        classes = range(self._run.spec.n_classes) if self._run.uses_labels else [self._label]
        images = np.stack([self._decode(np.eye(k), label) for label in classes])
        rows = [self._class_name(label) for label in classes] if self._run.uses_labels else []
        save_image_table(self._folder / "archetypes.png", images, row_names=rows,
                         column_names=self._names, value_range=self._range,
                         title="archetypes, decoded")

    def draw_paths(self) -> None:
        """Each pair a row."""
        from flowaa.archetypes.simplex import linear_path
        from flowaa.figures.simplex import save_image_table

        corners = np.eye(len(self._names), dtype=np.float32)
        pairs = list(itertools.combinations(range(len(corners)), 2))[:_MAX_PATHS]
        images = np.stack([
            self._decode(np.asarray(linear_path(corners[a], corners[b], _PATH_STEPS)), self._label)
            for a, b in pairs])
        save_image_table(
            self._folder / "paths.png", images, value_range=self._range,
            row_names=[f"{self._names[a]} to {self._names[b]}" for a, b in pairs],
            title=f"from archetype to archetype{self._of_class}")

    def draw_triangle(self, triple: list[int]) -> None:
        """Mixtures of three archetypes, each at its place."""
        from flowaa.archetypes.simplex import grid_weights
        from flowaa.figures.simplex import save_image_triangle

        weights = grid_weights(_TRIANGLE_STEPS)
        images = self._decode(weights @ np.eye(len(self._names))[triple], self._label)
        save_image_triangle(self._folder / "triangle.png", images, weights,
                            [self._names[index] for index in triple], value_range=self._range,
                            title=f"mixtures of three archetypes{self._of_class}")

    def draw_recreated(self, weights: np.ndarray) -> None:
        """Test examples above what is decoded of their weights."""
        from flowaa.figures.simplex import save_image_table

        test = self._dataset.test
        rows = np.arange(min(_N_RECREATED, len(test)))
        label = test.y[rows] if self._run.uses_labels and test.y is not None else None
        recreated = np.asarray(self._run.decode_weights(weights[rows], label))
        save_image_table(self._folder / "recreated.png", np.stack([test.x[rows], recreated]),
                         row_names=["original", "recreated"], value_range=self._range,
                         title=f"test images, and each from its {weights.shape[1]} weights")

    def draw_dirichlet(self, triple: list[int]) -> None:
        """Densities at a corner, an edge and the centre of a triangle, and draws of them."""
        from flowaa.figures.simplex import save_dirichlet_draws

        random = np.random.default_rng(self._run.config.seed)
        laws = {"corner": [12.0, 1.0, 1.0], "edge": [8.0, 8.0, 1.0], "centre": [8.0, 8.0, 8.0]}
        draws = [random.dirichlet(concentration, _N_DRAWS) for concentration in laws.values()]
        corners = np.eye(len(self._names))[triple]
        images = [self._decode(weights @ corners, self._label) for weights in draws]
        save_dirichlet_draws(
            self._folder / "dirichlet.png", [np.array(law) for law in laws.values()], draws,
            images, [self._names[index] for index in triple],
            [f"{name}: Dirichlet({', '.join(f'{value:g}' for value in law)})"
             for name, law in laws.items()],
            value_range=self._range, title=f"draws from the simplex, decoded{self._of_class}")

    def draw_nearest(self) -> dict[str, float]:
        """The training examples with the most of each archetype; returns their weights."""
        from flowaa.figures.simplex import save_image_table
        from flowaa.run.archetype_figures import split_weights

        train = self._dataset.train
        weights = split_weights(self._run, train)
        distance = np.linalg.norm(weights[:, None] - np.eye(weights.shape[1]), axis=2)
        nearest = np.argsort(distance, axis=0, kind="stable")[:_N_NEAREST].T
        if len(self._run.spec.shape) == 3:
            images = np.stack([train.x[rows] for rows in nearest])
            save_image_table(
                self._folder / "nearest.png", images, row_names=self._names,
                value_range=self._range,
                title="training images nearest to each archetype, nearest first")
        return {f"archetypes/{name}/nearest_weight": float(weights[rows[0], index])
                for index, (name, rows) in enumerate(zip(self._names, nearest, strict=True))}

    def _decode(self, weights: np.ndarray, label: int | None) -> np.ndarray:
        label = label if self._run.uses_labels else None
        return np.asarray(self._run.decode_weights(weights, label))

    def _class_name(self, label: int | None) -> str:
        names = self._run.spec.class_names
        return names[label] if label is not None and names else f"class {label}"


def _densities(run: "Run", names: list[str]) -> dict[str, float]:
    """Bits/dim of each decoded archetype, averaged over classes: how likely the flow finds it."""
    if run.params is None:  # a variational bottleneck has no density of single examples
        return {}
    k, n_classes = len(names), max(run.spec.n_classes if run.uses_labels else 1, 1)
    label = np.repeat(np.arange(n_classes), k) if run.uses_labels else None
    x = run.decode_weights(np.tile(np.eye(k), (n_classes, 1)), label)
    log_prob = np.asarray(run.log_prob(x, label)).reshape(n_classes, k).mean(0)
    n_dims = int(np.prod(run.spec.shape))
    return {f"archetypes/{name}/bits_per_dim": float(-value / n_dims / np.log(2))
            for name, value in zip(names, log_prob, strict=True)}


def _against_truth(run: "Run", dataset: "Dataset", weights: np.ndarray) -> dict[str, float]:
    """Of drawn faces: mean square difference of the decoded archetypes from the true extremes."""
    if dataset.name != "faces" or run.config.data.label != "character":
        return {}
    from flowaa.archetypes.classical.comparison import match
    from flowaa.data.drawing.face import extreme_faces

    true = extreme_faces(run.spec.shape[0])
    if weights.shape[1] != true.shape[1] or dataset.test.side is None:
        return {}
    corners = np.eye(true.shape[1])[match(weights, dataset.test.side)]
    found = np.stack([np.asarray(run.decode_weights(
        corners, label if run.uses_labels else None)) for label in range(len(true))])
    difference = (found.astype(np.float32) - true) / (run.spec.n_levels - 1.0)
    return {"archetypes/mse_from_true_extremes": float(np.square(difference).mean())}


if __name__ == "__main__":
    command.run(main)
