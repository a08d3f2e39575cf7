"""A finished run as one object, for analysis.

Longer than other files, since it is one class: each method is a door, a few lines before what does
the work.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowaa.arguments import random_key
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError, warn
from flowaa.extremes import distance_to_simplex
from flowaa.flow.density import Density, DensityDistribution
from flowaa.flow.likelihood import bits_per_dim
from flowaa.outliers import draws as outliers
from flowaa.outliers import evidence
from flowaa.outliers.dial import RadiusDial, fit_radius_dial
from flowaa.outliers.evidence import moments
from flowaa.outliers.plane import ArchetypePlane, archetype_plane, coordinates
from flowaa.outliers.scores import SCORES, Reference, load_labels, load_rows, reference_of
from flowaa.run import arguments
from flowaa.run.compiled import Compiled
from flowaa.training.archetypes.objective import ArchetypeModel
from flowaa.training.archetypes.simplex import SimplexModel
from flowaa.training.files.checkpoints import Checkpoints
from flowaa.training.files.run_folder import RunFolder
from flowaa.training.state import Params, TrainState

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained density and what it was trained with, and its archetypes where it has any.

    Examples are in data units: integer levels (0 … 255 for images) or float rows. Labels are class
    indices, an int for all examples or [B]; a context is [E] for all or [B, E]. Discrete data
    without a `key` stands at the middle of its levels; with one it is dequantised as in training.
    """

    config: ConfigDict  # locked
    spec: DataSpec
    density: Density
    params: Params | None  # the flow's; None where a variational bottleneck takes its place
    step: int  # of the checkpoint
    archetype_model: ArchetypeModel | SimplexModel | None = None
    archetype_params: Params | None = None  # of flow and heads; of a simplex base, the flow's
    summary: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of this step
    folder: Path | None = None  # where it lies, of a run that was trained or loaded

    def __repr__(self) -> str:
        """Five lines: the checkpoint, its data, its flow, its archetypes, its test figure."""
        spec, flow, config = self.spec, self.config.flow, self.config
        values = f"levels 0 … {spec.n_levels - 1}" if spec.n_levels else "continuous"
        n_params = sum(leaf.size for leaf in jax.tree.leaves(self.archetype_params or self.params))
        blocks = flow.bijector or f"{sum(flow.n_blocks)} {flow.law} blocks"
        if flow.curves:
            blocks = f"curves, {blocks}"
        archetypes = "none"
        if self.archetype_model is not None:
            model = self.archetype_model
            archetypes = f"{model.n_archetypes}" + (
                f" of each of {model.n_classes} classes" if model.n_classes else "")
        figure = self.summary.get("test/bits_per_dim")
        return "\n".join((
            f"Run of {config.data.name}, step {self.step} of {config.training.steps}",
            f"  data: examples {spec.shape}, {values}, {spec.n_classes or 'no'} classes",
            f"  flow: {blocks}, "
            f"{n_params:,} parameters",
            f"  archetypes: {archetypes}",
            "  test: " + (f"no bits/dim of step {self.step} is known" if figure is None
                          else f"{figure:.3f} bits/dim")))

    def save(self, workdir: str | os.PathLike[str]) -> None:
        """Writes a folder that `load_run` restores: this checkpoint's parameters, no more.

        Raises:
            UserError: the folder holds another run or one in training, or cannot be written.
        """
        folder = RunFolder(workdir)
        with folder.claimed(self.config.to_dict()):
            params = jax.device_get(self.params if self.archetype_model is None
                                    else self.archetype_params)
            state = TrainState(jnp.asarray(self.step, jnp.int32), params, (), None)
            checkpoints = Checkpoints(folder.checkpoints)
            try:
                checkpoints.save(self.step, state, {"config": self.config.to_dict(),
                                                    "data": dataclasses.asdict(self.spec)}, 0.0,
                                 can_go_on=False)
            finally:
                checkpoints.close()
            folder.write_summary(dict(self.summary))

    def encode(self, x: Any, label: Any = None, *, context: Any = None) -> tuple[Array, Array]:
        """Latent z [B, D] of x [B, *shape], and log|det dz/dx| [B] in data units."""
        x = arguments.examples(x, self.spec)
        return self._compiled.encode(self._flow, rows=(x, *self._given(label, context, len(x))))

    def decode(self, z: Any, label: Any = None, *, context: Any = None) -> Array:
        """Examples [B, *shape] in data units of latents z [B, D]."""
        z = arguments.matrix(z, "z", self.density.flow.n_dims)
        return self._compiled.decode(self._flow, rows=(z, *self._given(label, context, len(z))))

    def log_prob(
        self, x: Any, label: Any = None, key: Array | None = None, *, context: Any = None
    ) -> Array:
        """log p(x) [B] in nats; given labels, log p(x | label) where the run uses them.

        Rows so far out that float32 overflows have −inf.

        A run whose base mixes classes gives the marginal, sum of p(y) p(x | y), without labels.
        """
        x = arguments.examples(x, self.spec)
        row = np.arange(len(x), dtype=np.int32)
        key = None if key is None else random_key(key)
        return self._compiled.log_prob(
            self._flow, key, rows=(x, *self._given(label, context, len(x)), row))

    def bits_per_dim(
        self, x: Any, label: Any = None, key: Array | None = None, *, context: Any = None
    ) -> float:
        """Mean of -log p(x) / (D ln 2)."""
        log_prob = self.log_prob(x, label, key, context=context)
        if not len(log_prob):
            raise UserError("x holds no rows, which have no mean; give at least one")
        return float(bits_per_dim(log_prob, self.density.flow.n_dims).mean())

    def sample(
        self, key: Array, n: int, label: Any = None, temperature: float = 1.0, *,
        context: Any = None,
    ) -> Array:
        """n draws [n, *shape] in data units.

        The deviations of the latents are multiplied by `temperature`. Draw i depends on key and i
        alone: a smaller n gives the first of the same draws.
        """
        row = np.arange(arguments.count(n, self.spec), dtype=np.int32)
        return self._compiled.sample(self._flow, random_key(key),
                            arguments.temperature_of(temperature),
                            rows=(row, *self._given(label, context, len(row))))

    def sample_outliers(
        self, key: Array, n: int, method: str = "shell", *, extremeness: float,
        label: Any = None,
    ) -> Array:
        """n outliers [n, *shape] in data units; `draw_outliers` also tells their numbers.

        Args:
            key: a random key.
            n: draws.
            method: "shell": at the latent radius that one row in `extremeness` exceeds; "gumbel":
                like the furthest of so many; "simplex": in the archetypes' plane, as far beyond
                their simplex as one draw in so many.
            extremeness: return period, in draws: at least 1, which is the most typical point for
                "shell" and an ordinary one for "gumbel"; 1e6 is a once-in-a-million outlier. Where
                rows held out from training are not as the model says, these two go to the radius
                that one *row of the data* in so many exceeds (`goes_by_rows`). With
                `flow.base=simplex` there is "simplex" alone, whose periods are the model's own.
            label: class index, or one for each; None draws them where the run knows classes.

        Raises:
            UserError: an argument is out of range, or the run does not know the label.
        """
        return self.draw_outliers(key, n, method, extremeness=extremeness, label=label).x

    def draw_outliers(
        self, key: Array, n: int, method: str = "shell", *, extremeness: float,
        label: Any = None,
    ) -> "Outliers":
        """As `sample_outliers`, with latents, log-likelihoods, radii and return periods."""
        n = arguments.count(n, self.spec)
        labels = None if label is None else self._labels(label, n)
        plane = self.archetype_plane
        z, labels = outliers.draw_latents(
            self.density, self._flow, random_key(key), n, method=method,
            extremeness=extremeness, label=labels, plane=plane)
        dial = self.radius_dial
        if dial is not None and method != "simplex" and self.goes_by_rows:
            z = dial.moved(z, *moments(self.density, self._flow, labels))
        x = self._compiled.decode(self._flow, rows=(z, labels, None))
        numbers = self._compiled.numbers(
            self._flow, plane, method == "simplex", rows=(x, z, labels))
        period = None if dial is None else jnp.asarray(
            dial.return_period(numbers.radius), jnp.float32)
        return Outliers(x, z, labels, *numbers)._replace(data_return_period=period)

    def outlier_score(self, x: Any, score: str = "nll", label: Any = None) -> Array:
        """How outlying x [B, *shape] is, [B]: larger is more so.

        Args:
            x: rows in data units.
            score: "nll": −log p(x) in nats; "latent_norm": deviations from the nearest class's
                centre; "typicality": |nll less that of typical held-out rows|; "hull": distance of
                the archetype coordinates from the simplex; "neighbour": distance to the nearest
                training row in the latent space; "discriminator": log-odds by the run's detector of
                this name; "combined": nll, norm, typicality and neighbour, as p-values among
                held-out rows.
            label: class index, or one for each; None leaves the class open.

        Raises:
            UserError: the score is unknown, or needs what the run lacks.
        """
        if score not in SCORES:
            raise UserError(f"score is {score!r}; choose one of {', '.join(SCORES)}")
        x = arguments.examples(x, self.spec)
        labels = None if label is None else self._labels(label, len(x))
        if score == "discriminator":
            from flowaa.run.detector import load_detector

            return load_detector(self._file("detectors/discriminator")).score(x)
        found = self._compiled.statistics(self._flow, rows=(x, labels))
        if score in ("nll", "latent_norm"):
            return found.nll if score == "nll" else found.radius
        if score == "hull":
            self._model  # noqa: B018 - says so where the run has none
            assert self.archetype_plane is not None
            return distance_to_simplex(coordinates(self.archetype_plane, found.z, labels))
        values = {"typicality": lambda: self._reference.typicality(np.asarray(found.nll)),
                  "neighbour": lambda: self._reference.distances(np.asarray(found.z)),
                  "combined": lambda: self._reference.combined(found)}
        return jnp.asarray(values[score](), jnp.float32)

    def distribution(
        self, label: int | None = None, *, context: Any = None
    ) -> DensityDistribution:
        """The density of one example, given one context [E], as a distrax distribution."""
        _, rows = self._given(label, context, 1)
        return DensityDistribution(
            self.density, self._flow, label, None if rows is None else jnp.asarray(rows[0]))

    @property
    def archetypes(self) -> Array:
        """The vertices [K, L] of the simplex."""
        return self._model.vertices(self.archetype_params)

    def archetype_weights(self, x: Any, label: Any = None) -> Array:
        """A [B, K] of x [B, *shape]: how much of each archetype there is in it; rows sum to one.

        With `flow.base=simplex` it is the posterior mean of the weights.
        """
        x = arguments.examples(x, self.spec)
        labels = self._archetype_labels(label, len(x))
        return self._compiled.weights(self.archetype_params, rows=(x, labels))

    def decode_weights(self, weights: Any, label: Any = None) -> Array:
        """Examples [B, *shape] in data units of mixtures [B, K] of the archetypes.

        Weights beyond [0, 1] exaggerate: they leave the simplex.
        """
        weights = self._mixtures(weights)
        labels = self._archetype_labels(label, len(weights))
        return self._compiled.decode_weights(self.archetype_params, rows=(weights, labels))

    def with_weights(self, x: Any, weights: Any, label: Any = None) -> Array:
        """x [B, *shape] with other weights [B, K]: what else there is of each row stays its own.

        The row's own `archetype_weights` give x again, up to what the flow's inverse rounds.
        Weights as in `decode_weights`, where the rest is at its mean instead.

        Raises:
            UserError: the run's base distribution is no simplex (`flow.base=simplex`), so that no
                part of the latent is free of the weights.
        """
        x, weights = arguments.examples(x, self.spec), self._mixtures(weights)
        if not isinstance(self._model, SimplexModel):
            raise UserError("with_weights: the latent of this run has no part that is free of the "
                            "weights; train with config.flow.base=simplex, or take decode_weights")
        if len(x) != len(weights):
            raise UserError(f"with_weights: x has {len(x)} rows and weights {len(weights)}; give "
                            "weights for each")
        labels = self._archetype_labels(label, len(x))
        return self._compiled.with_weights(self.archetype_params, rows=(x, weights, labels))

    @property
    def uses_labels(self) -> bool:
        """Whether anything of the run depends on a label: flow, base or archetypes."""
        model = self.archetype_model
        return evidence.has_classes(self.density) or bool(model and model.n_classes)

    @functools.cached_property
    def goes_by_rows(self) -> bool:
        """Whether outliers lie at radii of rows held out, which contradict the model's law.

        Those of a flow whose own tails fall as a power do not: a latent that is moved as far as the
        rows' radii go would be carried further by the flow's tails, and both are of the same rows.
        """
        dial, d = self.radius_dial, self.density.flow.n_dims
        if dial is None or dial.agrees_with_law(d):
            return False
        if evidence.has_power_tails(self.density):
            warn(f"{len(dial.radii)} validation rows contradict the law of latent radii, but the "
                 "flow's own tails fall as powers: outliers are drawn by the law, and their "
                 "data_return_period says how rare such a radius is among the rows")
            return False
        return True

    @functools.cached_property
    def radius_dial(self) -> RadiusDial | None:
        """Return periods of latent radii among rows held out from training.

        With classes, of radii about the own one's centre. None where fewer than 100 such rows are
        known, as in a run that was saved from Python.
        """
        if self.folder is None or not (self.folder / "reference.npz").is_file():
            return None
        try:
            radii = self.held_out.radius
        except UserError as error:
            warn(f"{error}; outliers are drawn by the model's own law")
            return None
        return fit_radius_dial(radii)

    @functools.cached_property
    def held_out(self) -> "HeldOut":
        """Up to 2 000 validation rows, and what the flow says of them.

        Raises:
            UserError: the run's folder does not hold them.
        """
        file = self._file("reference.npz")
        _, rows = load_rows(file, self.spec.shape)
        labels = load_labels(file) if evidence.has_classes(self.density) else None
        if evidence.has_classes(self.density) and (
                labels is None or labels.shape != (len(rows),) or labels.dtype != np.int32
                or not ((labels >= 0) & (labels < evidence.n_classes(self.density))).all()):
            raise UserError(f"{self.folder}: the run's held-out rows have no labels, or others "
                            "than it knows; train anew")
        found = self._compiled.statistics(self._flow, rows=(rows, labels))
        return HeldOut(rows, np.asarray(found.nll, float),
                       np.asarray(found.radius, float))

    @functools.cached_property
    def _reference(self) -> Reference:
        rows = load_rows(self._file("reference.npz"), self.spec.shape)
        return reference_of(*(self._compiled.statistics(self._flow, rows=(x, None))
                              for x in rows))

    def _file(self, name: str) -> Path:
        if self.folder is None:
            raise UserError("this score needs the run's folder; restore it with flowaa.load_run")
        return self.folder / name

    @property
    def _model(self) -> ArchetypeModel | SimplexModel:
        if self.archetype_model is None:
            raise UserError("this run has no archetypes; train with "
                            "config.archetypes.n_archetypes=3 or another number")
        return self.archetype_model

    @property
    def _flow(self) -> Params:
        if self.params is None:
            raise UserError("this run has no flow: archetypes.bottleneck=variational encodes to "
                            "weights alone; see archetype_weights and decode_weights")
        return self.params

    def _mixtures(self, weights: Any) -> Any:
        """Weights [B, K] that sum to one."""
        weights = arguments.matrix(weights, "weights", self._model.n_archetypes)
        if not np.allclose(weights.sum(1), 1.0, atol=1e-3):
            raise UserError("weights must sum to one in each row")
        return weights

    def _archetype_labels(self, label: Any, n: int) -> Any:
        labels = self._labels(label, n)
        if labels is None and self._model.n_classes:
            raise UserError("each class has archetypes of its own in this run: give label, a class "
                            "index or one for each example")
        return labels

    @functools.cached_property
    def archetype_plane(self) -> ArchetypePlane | None:
        """The plane through the archetypes in the latent space, where the run has both."""
        if self.archetype_model is None or self.params is None:
            return None
        return archetype_plane(self.archetype_model.corners(self.archetype_params))

    @functools.cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self.density, self.archetype_model)

    def _given(self, label: Any, context: Any, n: int) -> tuple[Any, Any]:
        """Labels [n] and context [n, E], where the run uses them."""
        width = len(self.density.flow.context_mean)
        return self._labels(label, n), arguments.context_rows(context, n, width)

    def _labels(self, label: Any, n: int) -> Any:
        return arguments.labels(label, n, self.spec, are_used=self.uses_labels,
                                are_needed=self.density.flow.n_condition_classes > 0)


class HeldOut(NamedTuple):
    """Rows that a run was not trained on."""

    x: np.ndarray  # [N, *shape] in data units
    nll: np.ndarray  # [N] −log p(x), nats: of its class, where the run knows classes
    radius: np.ndarray  # [N] of the latents, in deviations from its class's centre


class Outliers(NamedTuple):
    """Outliers, and what is said of each."""

    x: Array  # [n, *shape] in data units
    z: Array  # [n, D] the latents that were drawn
    label: Array | None  # [n] classes, where the run knows any
    log_prob: Array  # [n] nats
    radius: Array  # [n] of the latents, in deviations from the centre of its class
    return_period: Array  # [n] the model's draws until one lies as far out, of any class
    class_return_period: Array | None  # [n] its own class's draws, where there are classes
    nearest_archetype: Array | None  # [n] int32, where the run has archetypes
    hull_distance: Array | None  # [n] of the archetype coordinates from the simplex; 0 within
    # [n] rows of the data until one has as large a radius, by rows held out; None where unknown
    data_return_period: Array | None = None
