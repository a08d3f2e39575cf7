"""The pictures of a run's archetypes, for `experiments.analyse`."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from flowaa.archetypes.classical.comparison import match
from flowaa.archetypes.simplex import grid_weights, linear_path
from flowaa.data.dataset import Dataset
from flowaa.figures.simplex import (
    save_dirichlet_draws,
    save_image_table,
    save_image_triangle,
    save_simplex,
)
from flowaa.run import Run
from flowaa.run.archetype_figures import decoded_archetypes, split_weights, true_extremes

_N_NEAREST = 6
_N_MEANED = 10  # pictures whose mean stands for an archetype with known scores
_N_RECREATED = 12
_N_DRAWS = 6
_PATH_STEPS = 9
_MAX_PATHS = 15
_TRIANGLE_STEPS = 6


def archetype_names(run: Run, dataset: Dataset, weights: np.ndarray) -> list[str]:
    """Names of the archetypes: of the scores that they match, else numbers from 0."""
    k = weights.shape[1]
    names = [f"archetype {index}" for index in range(k)]
    true = dataset.test.side
    if true is not None and true.shape[1] == k and run.spec.side_names:
        for name, column in zip(run.spec.side_names, match(weights, true), strict=True):
            names[column] = name
    return names


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of one run of images, each a method that writes a PNG."""

    run: Run
    dataset: Dataset
    folder: Path
    label: int | None  # the class that mixtures are decoded for; None where no label matters
    weights: np.ndarray  # [n, K] of the test rows
    names: list[str]  # [K] of the archetypes

    def draw_all(self, triple: list[int], start: np.ndarray | None) -> None:
        """Every picture; those of mixtures of three only where `triple` names three archetypes.

        `start` is the decoded archetypes [G, K, H, W, C] before training, where they are known.
        """
        archetypes = decoded_archetypes(self.run)
        classes = [self._class_name(label) for label in range(len(archetypes))]
        self._table("archetypes", archetypes, row_names=classes if self.run.uses_labels else (),
                    column_names=self.names, title="archetypes, decoded")
        self._draw_compared(archetypes, start, classes if self.run.uses_labels else [""])
        self._draw_paths()
        self._draw_recreated()
        if triple:
            self._draw_triangle(triple)
            self._draw_dirichlet(triple)

    def draw_simplex(self) -> None:
        """The weights of the test set."""
        save_simplex(self.folder / "simplex.png", self.weights, self.names,
                     labels=self.dataset.test.y, label_names=self.run.spec.class_names,
                     title=f"weights of the test set ({len(self.weights)} examples)")

    def draw_nearest(self) -> dict[str, float]:
        """The training examples with the most of each archetype; returns their weights."""
        train = self.dataset.train
        weights = split_weights(self.run, train)
        distance = np.linalg.norm(weights[:, None] - np.eye(weights.shape[1]), axis=2)
        nearest = np.argsort(distance, axis=0, kind="stable")[:_N_NEAREST].T
        if self.run.spec.is_image:
            self._table("nearest", np.stack([train.x[rows] for rows in nearest]),
                        row_names=self.names,
                        title="training images nearest to each archetype, nearest first")
        return {f"archetypes/{name}/nearest_weight": float(weights[rows[0], index])
                for index, (name, rows) in enumerate(zip(self.names, nearest, strict=True))}

    def _draw_compared(
        self, archetypes: np.ndarray, start: np.ndarray | None, classes: list[str]
    ) -> None:
        """What is known, what training started from and what it led to: rows of each class."""
        name, known = self._known(len(archetypes))
        parts = {name: known} | ({} if start is None else {"start": start})
        parts[f"step {self.run.step}"] = archetypes
        rows = [images[index] for index in range(len(archetypes)) for images in parts.values()]
        self._table(
            "compared", np.stack(rows), column_names=self.names,
            row_names=[f"{of_class} {part}".strip() for of_class in classes for part in parts],
            title="archetypes: known, before training, after")

    def _known(self, n_classes: int) -> tuple[str, np.ndarray]:
        """What is known without the model: a name, and pictures [G, K, H, W, C].

        The true extremes of drawn faces; else, with scores, the mean of the training pictures with
        the largest; else the mean picture of the class, for all archetypes.
        """
        train, k = self.dataset.train, len(self.names)
        true = true_extremes(self.run, self.dataset)
        matched = [self.names.index(name) for name in self.run.spec.side_names
                   if name in self.names]
        if true is not None and len(matched) == k:
            return "truth", true[:, np.argsort(matched)]
        rows = [np.arange(len(train)) if n_classes == 1 or train.y is None
                else np.flatnonzero(train.y == index) for index in range(n_classes)]
        if train.side is not None and len(matched) == k:
            side = train.side[:, np.argsort(matched)]
            most = [[r[np.argsort(-side[r, j], kind="stable")[:_N_MEANED]] for j in range(k)]
                    for r in rows]
            return "largest scores", np.stack(
                [[self._mean(indices) for indices in of_class] for of_class in most])
        return "class mean" if n_classes > 1 else "mean", np.stack(
            [[self._mean(r[:1_000])] * k for r in rows])

    def _mean(self, rows: np.ndarray) -> np.ndarray:
        """The mean picture of some training rows; black where there are none."""
        x = self.dataset.train.x[rows].astype(np.float32)
        return x.mean(0) if len(rows) else np.zeros(self.run.spec.shape, np.float32)

    def _draw_paths(self) -> None:
        """From each archetype to each other, a pair a row."""
        corners = np.eye(len(self.names), dtype=np.float32)
        pairs = list(itertools.combinations(range(len(corners)), 2))[:_MAX_PATHS]
        images = [self._decode(np.asarray(linear_path(corners[a], corners[b], _PATH_STEPS)))
                  for a, b in pairs]
        shares = [f"{share:.0%}" for share in np.linspace(0.0, 1.0, _PATH_STEPS)]
        self._table("paths", np.stack(images), column_names=shares,
                    row_names=[f"{self.names[a]} to {self.names[b]}" for a, b in pairs],
                    title=f"from archetype to archetype{self._of_class}")

    def _draw_recreated(self) -> None:
        """Test examples above what is decoded of their weights."""
        test = self.dataset.test
        rows = np.arange(min(_N_RECREATED, len(test)))
        label = test.y[rows] if self.run.uses_labels and test.y is not None else None
        recreated = np.asarray(self.run.decode_weights(self.weights[rows], label))
        self._table("recreated", np.stack([test.x[rows], recreated]),
                    row_names=["original", "recreated"],
                    title=f"test images, and each from its {len(self.names)} weights")

    def _draw_triangle(self, triple: list[int]) -> None:
        """Mixtures of three archetypes, each at its place."""
        weights = grid_weights(_TRIANGLE_STEPS)
        images = self._decode(weights @ np.eye(len(self.names))[triple])
        save_image_triangle(
            self.folder / "triangle.png", images, weights, [self.names[i] for i in triple],
            value_range=self.run.spec.value_range,
            title=f"mixtures of three archetypes{self._of_class}")

    def _draw_dirichlet(self, triple: list[int]) -> None:
        """Densities at a corner, an edge and the centre of a triangle, and draws from them."""
        random = np.random.default_rng(self.run.config.seed)
        laws = {"corner": [12.0, 1.0, 1.0], "edge": [8.0, 8.0, 1.0], "centre": [8.0, 8.0, 8.0]}
        draws = [random.dirichlet(concentration, _N_DRAWS) for concentration in laws.values()]
        images = [self._decode(weights @ np.eye(len(self.names))[triple]) for weights in draws]
        save_dirichlet_draws(
            self.folder / "dirichlet.png", [np.array(law) for law in laws.values()], draws,
            images, [self.names[index] for index in triple],
            [f"{name}: Dirichlet({', '.join(f'{value:g}' for value in law)})"
             for name, law in laws.items()],
            value_range=self.run.spec.value_range,
            title=f"draws from the simplex, decoded{self._of_class}")

    def _table(self, name: str, images: np.ndarray, *, title: str,
               row_names: "list[str] | tuple[()]" = (),
               column_names: "list[str] | tuple[()]" = ()) -> None:
        save_image_table(self.folder / f"{name}.png", images, row_names=row_names,
                         column_names=column_names, value_range=self.run.spec.value_range,
                         title=title)

    def _decode(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.run.decode_weights(weights, self.label))

    @property
    def _of_class(self) -> str:
        return "" if self.label is None else f" ({self._class_name(self.label)})"

    def _class_name(self, label: int) -> str:
        names = self.run.spec.class_names
        return names[label] if names else f"class {label}"
