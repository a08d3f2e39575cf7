"""From a config to typed fields and modules: the only reader of a ConfigDict.

Training and `load_run` build the same things from the same config and description of the data.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from flowaa.archetypes.classical.alternation import SOLVERS
from flowaa.archetypes.classical.model import INITS, Settings
from flowaa.archetypes.classical.robust import LOSSES
from flowaa.config import ranges
from flowaa.data.dataset import Dataset, DataSpec
from flowaa.detection.detector import Detector
from flowaa.detection.networks import ConvNetwork, DenseNetwork
from flowaa.errors import UserError
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.base_distribution import ClassMixture, StandardNormal
from flowaa.flow.density import Density
from flowaa.flow.flow import Flow
from flowaa.flow.likelihood import Dequantise, Preprocessing, Standardise
from flowaa.flow.reversibility import with_memory
from flowaa.outliers.mixture import OutlierMixture, adversary, outlier_mixture
from flowaa.outliers.plane import ArchetypePlane
from flowaa.training.archetypes.objective import (
    ArchetypeModel,
    archetype_objective,
    archetype_values,
)
from flowaa.training.archetypes.options import ArchetypeOptions
from flowaa.training.detector_objective import DetectorProblem
from flowaa.training.guard import ReversibilityGuard
from flowaa.training.loop import Problem, TrainingOptions
from flowaa.training.objective import evaluation_values, nll_loss
from flowaa.training.parallel import local_devices
from flowaa.training.state import Params


def check_ranges(config: ConfigDict) -> None:
    """Raises a `UserError` where a number of the config lies outside its range."""
    ranges.check_ranges({key: config[key] for key in ranges.RANGES})


def check_detector_ranges(detector: ConfigDict) -> None:
    """As `check_ranges`, of a `config.detector` by itself."""
    ranges.check_ranges({f"detector.{key}": value for key, value in detector.items()})


def build_data(data: ConfigDict, *, seed: int) -> Dataset:
    """Loads the data set that `config.data` names.

    Raises:
        UserError: there is no such data set, or it cannot be read.
    """
    from flowaa.data.sources import arrays, digits, faces, ferg, image_folder, keller, tfds, toy

    splits = {"seed": seed, "validation_fraction": data.validation_fraction}
    tested = {**splits, "test_fraction": data.test_fraction}
    loaders: dict[str, Callable[[], Dataset]] = {
        "mixture": lambda: toy.mixture(n_rows=data.n_rows, **tested),
        "moons": lambda: toy.moons(n_rows=data.n_rows, **tested),
        "digits": lambda: digits.digits(**splits),
        "keller": lambda: keller.keller(n_rows=data.n_rows, nonlinear=data.nonlinear, **tested),
        "faces": lambda: faces.faces(
            dir=data.dir, label=data.label, image_size=data.image_size, n_rows=data.n_rows,
            nuisance=data.nuisance, **tested,
        ),
        "ferg": lambda: ferg.ferg(
            dir=data.dir, prepared_dir=data.prepared_dir, label=data.label,
            image_size=data.image_size, **tested,
        ),
        "arrays": lambda: arrays.arrays(path=data.path, **tested),
        "image_folder": lambda: image_folder.image_folder(
            dir=data.dir, image_size=data.image_size, **tested
        ),
    }
    if data.name.startswith("tfds:"):
        name = data.name.removeprefix("tfds:")
        return tfds.tensorflow_dataset(name, data_dir=data.dir, **tested)
    if data.name not in loaders:
        raise UserError(
            f"data.name: there is no data set {data.name!r}; there are {', '.join(loaders)} "
            "and tfds:NAME"
        )
    return loaders[data.name]()


@dataclasses.dataclass(frozen=True)
class ArchetypalAnalysisOptions:
    """What `experiments.archetypes` does."""

    settings: Settings  # its n_archetypes is 0 if the elbow is to be taken
    choose_up_to: int
    n_bootstraps: int
    max_rows: int


def build_archetypal_analysis(config: ConfigDict) -> ArchetypalAnalysisOptions:
    """The typed options of `config.archetypal_analysis`.

    Raises:
        UserError: a choice is not one there is, or no number of archetypes is asked for.
    """
    values = config.archetypal_analysis.to_dict()
    own = {name: values.pop(name) for name in ("choose_up_to", "n_bootstraps", "max_rows")}
    for name, choices in (("solver", tuple(SOLVERS)), ("init", INITS), ("loss", LOSSES)):
        if values[name] not in choices:
            raise UserError(f"archetypal_analysis.{name}: there is no {values[name]!r}; there are "
                            f"{', '.join(choices)}")
    if not values["n_archetypes"] and not own["choose_up_to"]:
        raise UserError("archetypal_analysis: set --config.archetypal_analysis.n_archetypes, or "
                        "choose_up_to to have it chosen")
    return ArchetypalAnalysisOptions(Settings(**values), **own)


def build_architecture(flow: ConfigDict, *, seed: int) -> Architecture:
    """The typed architecture of `config.flow`.

    Raises:
        UserError: its stages' fields differ in length, or a choice is not one there is.
    """
    per_stage = ("reshape", "n_blocks", "width", "depth", "kernel_sizes", "split_off")
    lengths = {name: len(flow[name]) for name in per_stage}
    if len(set(lengths.values())) > 1:
        raise UserError(f"flow: give every field one entry per stage; the lengths are {lengths}")
    stages = tuple(
        Stage(**{name: flow[name][index] for name in per_stage})
        for index in range(len(flow.n_blocks))
    )
    names = {field.name for field in dataclasses.fields(Architecture)} - {"stages", "seed"}
    architecture = Architecture(stages, seed=seed, **{name: flow[name] for name in names})
    for stage in stages:
        _check_choices("flow", stage)
    _check_choices("flow", architecture)
    return architecture


def build_density(config: ConfigDict, spec: DataSpec) -> Density:
    """The model: preprocessing, flow and base distribution, for data of this description."""
    flow = config.flow
    if (flow.conditional or flow.base == "class_mixture") and not spec.n_classes:
        key = "flow.conditional" if flow.conditional else "flow.base"
        raise UserError(f"{key}={flow.get(key.removeprefix('flow.'))}: the data has no labels; "
                        "give labels (y) or an unconditional flow with base normal")
    chain, latent_shape = build_architecture(flow, seed=config.seed).build(spec.shape)
    n_dims = int(np.prod(spec.shape))
    bases: dict[str, Callable[[], nn.Module]] = {
        "normal": lambda: StandardNormal(n_dims),
        "class_mixture": lambda: ClassMixture(n_dims, spec.n_classes),
    }
    if flow.base not in bases:
        raise UserError(f"flow.base is {flow.base!r}; choose one of {', '.join(bases)}")
    return Density(
        Flow(
            chain, bases[flow.base](), spec.shape, latent_shape,
            n_condition_classes=spec.n_classes if flow.conditional else 0,
        ),
        _build_preprocessing(config.likelihood, spec),
    )


def build_archetypes(
    config: ConfigDict, spec: DataSpec, density: Density
) -> ArchetypeModel | None:
    """The heads of `config.archetypes` on a density, or None where the flow is trained alone."""
    options = _archetype_options(config)
    return options.model(spec, density) if options.n_archetypes else None


def build_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """The optax chain of `config.optimizer`; a frozen flow's parameters stay as they are."""
    chain = _build_chain(config.optimizer, steps=config.training.steps)
    if not (config.archetypes.n_archetypes and config.archetypes.freeze_flow):
        return chain
    parts = {"flow": "frozen", "heads": "trained"}
    return optax.multi_transform({"frozen": optax.set_to_zero(), "trained": chain}, parts)


def _build_chain(optimizer: ConfigDict, *, steps: int) -> optax.GradientTransformation:
    final = optimizer.learning_rate * optimizer.final_learning_rate_fraction
    warmup = min(optimizer.warmup_steps, steps // 2)
    schedules: dict[str, Callable[[], optax.Schedule]] = {
        "constant": lambda: optax.linear_schedule(
            0.0 if warmup else optimizer.learning_rate, optimizer.learning_rate, max(warmup, 1)
        ),
        "cosine": lambda: optax.warmup_cosine_decay_schedule(
            0.0 if warmup else optimizer.learning_rate, optimizer.learning_rate, warmup, steps,
            final,
        ),
    }
    if optimizer.schedule not in schedules:
        raise UserError(f"optimizer.schedule is {optimizer.schedule!r}; "
                        f"choose one of {', '.join(schedules)}")
    schedule = schedules[optimizer.schedule]()
    optimizers = {
        "adam": lambda: optax.adam(schedule),
        # Biases, scales and other vectors are not decayed: zero is not where they should go.
        "adamw": lambda: optax.adamw(
            schedule, weight_decay=optimizer.weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
        ),
    }
    if optimizer.name not in optimizers:
        raise UserError(f"optimizer.name is {optimizer.name!r}; "
                        f"choose one of {', '.join(optimizers)}")
    clip = [optax.clip_by_global_norm(optimizer.clip_norm)] if optimizer.clip_norm else []
    return optax.chain(*clip, optimizers[optimizer.name]())


def build_options(config: ConfigDict) -> TrainingOptions:
    """The typed `config.training`."""
    training = config.training
    return TrainingOptions(
        batch_size=training.batch_size,
        steps=training.steps,
        steps_per_call=training.steps_per_call,
        log_every_steps=training.log_every_steps,
        evaluate_every_steps=training.evaluate_every_steps,
        keep_checkpoints=training.keep_checkpoints,
        device_bytes=config.data.device_bytes,
        ema_decay=config.optimizer.ema_decay,
        seed=config.seed,
        devices=tuple(local_devices(training.n_devices)),
    )


def build_problem(
    config: ConfigDict, density: Density, dataset: Dataset | None = None, flow_params: Params = None
) -> Problem:
    """What is trained: the density's negative log-likelihood, or archetypes too.

    Args:
        config: the run's.
        density: the flow's.
        dataset: the rows that archetypes start from.
        flow_params: of a flow trained before, that archetypes are to be found in.
    """
    if config.archetypes.n_archetypes:
        assert dataset is not None, "archetypes start from rows"
        return _archetype_problem(config, density, dataset, flow_params)
    with_dropout = config.flow.dropout > 0
    guard = None
    if config.flow.memory == "reversible" and config.training.check_reversible_steps:
        stored = dataclasses.replace(density, flow=with_memory(density.flow, "stored"))
        guard = ReversibilityGuard(
            density, nll_loss(stored, with_dropout=with_dropout),
            every_steps=config.training.check_reversible_steps,
            min_cosine=config.training.min_reversible_cosine,
        )
    return Problem(
        init=density.init,
        loss=nll_loss(density, with_dropout=with_dropout),
        values=evaluation_values(density, n_samples=config.likelihood.evaluation_samples),
        optimizer=build_optimizer(config),
        n_dims=density.flow.n_dims,
        guard=guard,
    )


def build_detector(
    detector: ConfigDict, density: Density, flow_params: Params, dataset: Dataset,
    plane: ArchetypePlane | None = None,
) -> tuple[DetectorProblem, OutlierMixture, Problem]:
    """A detector of `config.detector` on a trained flow, its outliers, and its training.

    Raises:
        UserError: a choice is not one there is, or the data does not fit it.
    """
    spec = dataset.spec
    _check_detector(detector, density, spec)
    n_classes = spec.n_classes if detector.kind == "classifier" else 0
    n_logits = n_classes + detector.rejects if n_classes else 1
    network = (ConvNetwork if detector.network == "conv" else DenseNetwork)(
        n_logits, detector.width, detector.depth, detector.spectral_norm)
    mixture = outlier_mixture(
        density, flow_params, dataset, sources=tuple(detector.sources),
        shares=tuple(detector.shares), extremeness=tuple(detector.extremeness),
        box_margin=detector.box_margin, noise=detector.noise,
        reject_quantile=detector.reject_quantile, reference=detector.reference, plane=plane)
    generator = None
    if detector.adversary == "generator":
        generator = DenseNetwork(density.flow.n_dims, detector.width, detector.depth)
    of_detector = DetectorProblem(
        Detector(network, spec.mean, spec.std, n_classes, bool(n_classes) and detector.rejects),
        mixture, detector.confidence_weight, detector.adversary,
        adversary(density, generator, detector.adversary), generator)
    schedule = optax.cosine_decay_schedule(detector.learning_rate, detector.steps)
    learned = optax.adamw(schedule, weight_decay=detector.weight_decay)
    parts = {"network": "learned", "flow": "frozen"}
    if detector.adversary != "none":
        parts[detector.adversary] = "learned"
    return of_detector, mixture, Problem(
        init=lambda key, x, y: of_detector.init(key, x, flow_params),
        loss=of_detector.loss(),
        values=of_detector.values,
        optimizer=optax.multi_transform(
            {"learned": learned, "frozen": optax.set_to_zero()}, parts),
        n_dims=density.flow.n_dims,
        selection="loss",
    )


def build_detector_options(config: ConfigDict, detector: ConfigDict) -> TrainingOptions:
    """How long and on what a run's detector is trained."""
    return TrainingOptions(
        batch_size=detector.batch_size, steps=detector.steps,
        steps_per_call=detector.steps_per_call, log_every_steps=detector.log_every_steps,
        evaluate_every_steps=detector.evaluate_every_steps,
        keep_checkpoints=config.training.keep_checkpoints,
        device_bytes=config.data.device_bytes, ema_decay=0.0, seed=config.seed,
        devices=tuple(local_devices(config.training.n_devices)),
    )


def _check_detector(detector: ConfigDict, density: Density, spec: DataSpec) -> None:
    choices = {"kind": ("discriminator", "classifier"), "network": ("dense", "conv"),
               "adversary": ("none", "generator", "flow")}
    for key, values in choices.items():
        if detector[key] not in values:
            raise UserError(f"detector.{key} is {detector[key]!r}; choose one of "
                            f"{', '.join(values)}")
    if detector.kind == "classifier" and not spec.n_classes:
        raise UserError("detector.kind=classifier: the data has no labels; take discriminator")
    if detector.network == "conv" and len(spec.shape) != 3:
        raise UserError("detector.network=conv: the data has no images; take dense")
    if detector.adversary != "none" and density.preprocessing.is_discrete:
        raise UserError(f"detector.adversary={detector.adversary}: data with levels has no "
                        "gradient; take none")


def _archetype_problem(
    config: ConfigDict, density: Density, dataset: Dataset, flow_params: Params
) -> Problem:
    """Archetypes and flow together, perhaps after the flow alone; or on a frozen flow."""
    if config.training.check_reversible_steps:
        raise UserError("training.check_reversible_steps: there is no such check with archetypes; "
                        "set it to 0")
    options = _archetype_options(config)
    model = options.model(dataset.spec, density)
    objective = functools.partial(archetype_objective, model, freeze_flow=options.freeze_flow,
                                  with_dropout=config.flow.dropout > 0)

    def init(key: jax.Array, x: Any, y: Any) -> Params:
        params = model.init(key, x, y)
        if flow_params is None:
            return params
        if jax.tree.map(jnp.shape, params["flow"]) != jax.tree.map(jnp.shape, flow_params):
            raise UserError(f"archetypes.pretrained: {options.pretrained} is another flow; give "
                            "its config's flow block, or leave archetypes.pretrained out")
        return {**params, "flow": flow_params}

    return Problem(
        init=init,
        loss=objective(options.loss_weights),
        values=archetype_values(model, options.loss_weights),
        optimizer=build_optimizer(config),
        n_dims=density.flow.n_dims,
        phases=options.phases(objective, model, dataset.train, seed=config.seed),
        selection="objective",
    )


def _archetype_options(config: ConfigDict) -> ArchetypeOptions:
    names = [field.name for field in dataclasses.fields(ArchetypeOptions)]
    # One by one, so that a key that an older run's config lacks is named.
    options = ArchetypeOptions(**{name: config.archetypes[name] for name in names})
    _check_choices("archetypes", options)
    if options.warm_up_steps % config.training.steps_per_call:
        raise UserError(f"archetypes.warm_up_steps is {options.warm_up_steps}; set it to a "
                        f"multiple of training.steps_per_call={config.training.steps_per_call}")
    return options


def _build_preprocessing(likelihood: ConfigDict, spec: DataSpec) -> Preprocessing:
    if not spec.n_levels:
        if likelihood.logit_alpha:
            raise UserError("likelihood.logit_alpha: the logit is for discrete data, this is "
                            "continuous; set it to 0")
        return Standardise(spec.mean, spec.std)
    mean = tuple(value + 0.5 for value in spec.mean)  # of levels and noise together
    return Dequantise(spec.n_levels, mean, spec.std, likelihood.logit_alpha)


def _check_choices(prefix: str, fields: Any) -> None:
    """Checks the fields that are one of a few words."""
    for name, hint in get_type_hints(type(fields)).items():
        value = getattr(fields, name)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise UserError(f"{prefix}.{name} is {value!r}; choose one of "
                            f"{', '.join(get_args(hint))}")
