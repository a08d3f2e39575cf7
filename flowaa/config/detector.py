"""`config.detector`: its fields, and the detector and outliers that they describe."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import flax.linen as nn
import optax
from ml_collections import ConfigDict

from flowaa.config.data import DataFields
from flowaa.config.fields import COUNT, FROM_0, FROM_1, POSITIVE, SHARE, read
from flowaa.config.optimizer import kernels
from flowaa.config.training import TrainingFields
from flowaa.data.dataset import Dataset, DataSpec
from flowaa.detection.model import DetectorModel, FlowEvidence
from flowaa.detection.networks import ConvNetwork, DenseNetwork, FlowGuided
from flowaa.errors import UserError
from flowaa.flow.density import Density
from flowaa.outliers.draws import adversary
from flowaa.outliers.evidence import flow_evidence
from flowaa.outliers.mixture import OutlierMixture, outlier_mixture
from flowaa.outliers.plane import ArchetypePlane
from flowaa.training.detector_objective import DetectorProblem, MakeOutliers
from flowaa.training.faults.skipping import skip_unsound
from flowaa.training.parallel import choose_devices
from flowaa.training.problem import Problem, TrainingOptions
from flowaa.training.state import Params

_Count = Annotated[int, COUNT]
_ReturnPeriod = Annotated[float, FROM_1]


@dataclasses.dataclass(frozen=True)
class DetectorFields:
    """The keys of `config.detector`, which `configs/default.py` explains."""

    block: ClassVar[str] = "detector"
    kind: Literal["discriminator", "classifier"]
    network: Literal["dense", "conv"]
    width: _Count
    depth: _Count
    spectral_norm: bool
    rejects: bool
    confidence_weight: Annotated[float, FROM_0]
    sources: tuple[str, ...]
    shares: tuple[Annotated[float, FROM_0], ...]
    extremeness: tuple[_ReturnPeriod, _ReturnPeriod]
    box_margin: Annotated[float, FROM_0]
    noise: Annotated[float, POSITIVE]
    reject_quantile: Annotated[float, SHARE]
    reference: Literal["drawn", "uniform"]
    adversary: Literal["none", "generator", "flow"]
    learning_rate: Annotated[float, POSITIVE]
    weight_decay: Annotated[float, FROM_0]
    batch_size: _Count
    steps: _Count
    steps_per_call: _Count
    log_every_steps: _Count
    evaluate_every_steps: _Count


def read_detector(detector: ConfigDict) -> DetectorFields:
    """The typed fields of a `config.detector`."""
    return read(DetectorFields, {"detector": detector})


def build_detector(
    detector: ConfigDict, density: Density, flow_params: Params, dataset: Dataset,
    plane: ArchetypePlane | None = None,
) -> tuple[DetectorProblem, OutlierMixture, Problem]:
    """The detector of `config.detector` on a trained flow, its outliers, and its training.

    Raises:
        UserError: a choice is not one there is, or the data does not fit it.
    """
    fields, spec = read_detector(detector), dataset.spec
    _check_detector(fields, density, spec)
    mixture = outlier_mixture(
        density, flow_params, dataset, sources=fields.sources, shares=fields.shares,
        extremeness=fields.extremeness, box_margin=fields.box_margin, noise=fields.noise,
        reject_quantile=fields.reject_quantile, reference=fields.reference, plane=plane)
    evidence = None
    if fields.kind == "discriminator" or fields.rejects:
        evidence = flow_evidence(density, flow_params, dataset)
    of_detector = detector_problem(fields, spec, density, evidence, mixture)
    schedule = optax.cosine_decay_schedule(fields.learning_rate, fields.steps)
    learned = optax.adamw(schedule, weight_decay=fields.weight_decay, mask=kernels)
    parts = {"network": "learned", "flow": "frozen"}
    if fields.adversary != "none":
        parts["adversary"] = "learned"
    return of_detector, mixture, Problem(
        init=lambda key, rows: of_detector.init(key, rows.x, flow_params),
        loss=of_detector.loss(),
        values=of_detector.values,
        optimizer=skip_unsound(optax.multi_transform(
            {"learned": learned, "frozen": optax.set_to_zero()}, parts), max_norm=0.0),
        n_dims=density.flow.n_dims,
        validation_loss="loss",
    )


def detector_problem(
    fields: DetectorFields, spec: DataSpec, density: Density, evidence: FlowEvidence | None,
    make_outliers: MakeOutliers | None = None,
) -> DetectorProblem:
    """The detector of these fields and its losses; without evidence it sees the data alone."""
    n_classes = spec.n_classes if fields.kind == "classifier" else 0
    rejects = bool(n_classes) and fields.rejects
    network: nn.Module = (ConvNetwork if fields.network == "conv" else DenseNetwork)(
        n_classes + rejects or 1, fields.width, fields.depth, fields.spectral_norm)
    if evidence is not None:
        network = FlowGuided(network)
    generator = None
    if fields.adversary == "generator":
        generator = DenseNetwork(density.flow.n_dims, fields.width, fields.depth)
    return DetectorProblem(
        DetectorModel(network, spec.mean, spec.std, n_classes, rejects, evidence), make_outliers,
        fields.confidence_weight, adversary(density, generator, fields.adversary), generator)


def build_detector_options(config: ConfigDict, detector: ConfigDict) -> TrainingOptions:
    """How long and on what a run's detector is trained."""
    fields, training = read_detector(detector), read(TrainingFields, config)
    return TrainingOptions(
        batch_size=fields.batch_size, steps=fields.steps,
        steps_per_call=fields.steps_per_call, log_every_steps=fields.log_every_steps,
        evaluate_every_steps=fields.evaluate_every_steps,
        keep_checkpoints=training.keep_checkpoints,
        device_bytes=read(DataFields, config).device_bytes, ema_decay=0.0, seed=config.seed,
        devices=tuple(choose_devices(training.n_devices)),
    )


def _check_detector(detector: DetectorFields, density: Density, spec: DataSpec) -> None:
    if detector.kind == "classifier" and not spec.n_classes:
        raise UserError("detector.kind=classifier: the data has no labels; take discriminator")
    if detector.network == "conv" and len(spec.shape) != 3:
        raise UserError("detector.network=conv: the data has no images; take dense")
    if detector.adversary != "none" and density.preprocessing.is_discrete:
        raise UserError(f"detector.adversary={detector.adversary}: data with levels has no "
                        "gradient; take none")
