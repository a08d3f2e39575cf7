"""`config.archetypes`: its fields, the heads that they describe, and the phases of training."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
from ml_collections import ConfigDict

from flowaa.archetypes.deep.heads import ArchetypeHeads
from flowaa.archetypes.deep.tangents import Change, ChangeSizes, TangentDistance
from flowaa.config.fields import COUNT, COUNT_0, COUNT_0_OR_2, FROM_0, POSITIVE, read
from flowaa.config.training import TrainingFields
from flowaa.data.dataset import DataSpec, Split
from flowaa.errors import UserError
from flowaa.flow.density import Density
from flowaa.flow.likelihood import Preprocessing
from flowaa.flow.noisy_simplex import NoisySimplex
from flowaa.training.archetypes.bottleneck import Bottleneck, FlowBottleneck
from flowaa.training.archetypes.objective import ArchetypeModel, LossWeights, Side
from flowaa.training.archetypes.simplex import SimplexModel
from flowaa.training.archetypes.start import start_heads
from flowaa.training.archetypes.variational import EncoderDecoder, VariationalBottleneck
from flowaa.training.problem import Phase
from flowaa.training.step import Loss

_From0 = Annotated[float, FROM_0]
_Positive = Annotated[float, POSITIVE]


@dataclasses.dataclass(frozen=True)
class ArchetypeFields:
    """The keys of `config.archetypes`, which `configs/default.py` explains."""

    block: ClassVar[str] = "archetypes"
    n_archetypes: Annotated[int, COUNT_0_OR_2]
    bottleneck: Literal["flow", "variational"]
    variational_width: Annotated[int, COUNT]
    vertices: Literal["fixed", "learned"]
    sets: Literal["shared", "per_class"]
    simplex_points: Annotated[int, COUNT]
    prototype: bool
    overshoot: _From0
    weight_norm: bool
    weight_noise: _From0
    side: Side
    start: Literal["linear", "side", "random"]
    start_rows: Annotated[int, COUNT]
    blur_px: _From0
    invariant_to: tuple[Change, ...]
    shift_px: _Positive
    rotation_degrees: _Positive
    scale_percent: _Positive
    brightness_percent: _Positive
    pretrained: str
    freeze_flow: bool
    warm_up_steps: Annotated[int, COUNT_0]
    nll_weight: _From0
    archetype_weight: _From0
    reconstruction_weight: _From0
    latent_reconstruction_weight: _From0
    side_weight: _From0
    prototype_weight: _From0
    volume_weight: _From0

    def __post_init__(self) -> None:
        if self.bottleneck == "variational" and (self.pretrained or self.freeze_flow):
            raise UserError("archetypes.bottleneck=variational: there is no flow; leave out "
                            "archetypes.pretrained and archetypes.freeze_flow")
        if self.freeze_flow and self.warm_up_steps:
            raise UserError("archetypes.warm_up_steps: a frozen flow is not trained; set it to 0, "
                            "or archetypes.freeze_flow=False")
        if self.freeze_flow and not self.pretrained:
            raise UserError("archetypes.freeze_flow: the flow would stay as it was initialised; "
                            "set archetypes.pretrained to a run of the flow alone")

    @property
    def loss_weights(self) -> LossWeights:
        """The weights of the losses."""
        names = [field.name for field in dataclasses.fields(LossWeights)]
        return LossWeights(**{name: getattr(self, f"{name}_weight") for name in names})

    def phases(
        self, objective: Callable[[LossWeights], Loss], model: ArchetypeModel, train: Split, *,
        seed: int,
    ) -> tuple[Phase, ...]:
        """The flow alone, if it is warmed up, then all together."""
        start = None
        if self.start != "random":
            start = functools.partial(
                start_heads, model, train, n_rows=self.start_rows,
                weights_are_side=self.start == "side", seed=seed)
        joint = Phase(self.warm_up_steps, objective(self.loss_weights), start)
        if not self.warm_up_steps:
            return (joint,)
        return Phase(0, objective(LossWeights(nll=1.0))), joint


def read_archetypes(config: ConfigDict) -> ArchetypeFields:
    """The typed `config.archetypes`, whose warm-up is a whole number of calls."""
    fields = read(ArchetypeFields, config)
    per_call = read(TrainingFields, config).steps_per_call
    if fields.warm_up_steps % per_call:
        raise UserError(f"archetypes.warm_up_steps is {fields.warm_up_steps}; set it to a "
                        f"multiple of training.steps_per_call={per_call}")
    return fields


# What only the heads and their losses know, and the values at which nothing of it is asked for.
OF_HEADS: dict[str, Any] = {
    "bottleneck": "flow", "vertices": "fixed", "sets": "shared", "prototype": False,
    "overshoot": 0.0, "weight_norm": False, "weight_noise": 0.0, "side": "none", "blur_px": 0.0,
    "invariant_to": (), "pretrained": "", "freeze_flow": False, "warm_up_steps": 0,
    "nll_weight": 0.1, "archetype_weight": 10.0, "reconstruction_weight": 80.0,
    "latent_reconstruction_weight": 0.0, "side_weight": 1.0, "prototype_weight": 0.0,
    "volume_weight": 0.0}
_LEAST_POINTS = 8  # of the simplex, for each archetype


def check_simplex(fields: ArchetypeFields, n_dims: int, *, has_readout: bool) -> None:
    """Raises a `UserError` where `flow.base=simplex` cannot be had with these fields.

    Args:
        fields: of `config.archetypes`.
        n_dims: D, of one example.
        has_readout: `flow.readout`.
    """
    if not 2 <= fields.n_archetypes <= n_dims + 1:
        raise UserError(f"flow.base=simplex: archetypes.n_archetypes is {fields.n_archetypes}; set "
                        f"it between 2 and {n_dims + 1}, one more than an example has dimensions")
    if not has_readout:
        raise UserError("flow.base=simplex: set flow.readout=True, which finds the simplex's place "
                        "in the latent")
    least = _LEAST_POINTS * fields.n_archetypes
    if fields.simplex_points < least:
        raise UserError(f"archetypes.simplex_points is {fields.simplex_points}; set it to at least "
                        f"{least}, {_LEAST_POINTS} for each archetype")
    if fields.start != "random" and fields.start_rows < n_dims + 2:
        raise UserError(f"archetypes.start_rows is {fields.start_rows}; set it to at least "
                        f"{n_dims + 2}, two more than an example has dimensions")
    if fields.start == "side":
        raise UserError("flow.base=simplex: archetypes.start=side is for heads that are told the "
                        "weights; set it to linear")
    for key, value in OF_HEADS.items():
        if getattr(fields, key) != value:
            raise UserError(f"flow.base=simplex trains by likelihood alone, and archetypes.{key} "
                            f"is for heads and their losses; set it to {value!r}")


def build_archetypes(
    config: ConfigDict, spec: DataSpec, density: Density
) -> ArchetypeModel | SimplexModel | None:
    """The heads on the density's flow, or on an encoder and decoder in its place.

    Where the simplex is the flow's base distribution there are no heads.

    Returns:
        None where the flow is trained alone.

    Raises:
        UserError: the data lacks what the heads need.
    """
    fields = read_archetypes(config)
    if not fields.n_archetypes:
        return None
    if density.flow.context_mean:
        raise UserError("archetypes: a flow with context has none; leave the context out of "
                        "the data, or set config.flow.conditional=False")
    if isinstance(density.flow.base, NoisySimplex):
        return SimplexModel(density)
    _check_data(fields, spec)
    bottleneck: Bottleneck = FlowBottleneck(density)
    if fields.bottleneck == "variational":
        network = EncoderDecoder(
            spec.shape, fields.variational_width, n_latent=fields.n_archetypes - 1,
            n_classes=density.flow.n_condition_classes)
        bottleneck = VariationalBottleneck(network, density.preprocessing)
    n_side = {"none": 0, "label": spec.n_classes, "scores": len(spec.side_names)}[fields.side]
    heads = ArchetypeHeads(
        fields.n_archetypes, bottleneck.n_latent, n_side,
        n_classes=spec.n_classes if fields.sets == "per_class" else 0,
        learned_vertices=fields.vertices == "learned", prototype=fields.prototype,
        overshoot=fields.overshoot, weight_norm=fields.weight_norm)
    return ArchetypeModel(bottleneck, heads, fields.side, fields.weight_noise,
                          _distance(fields, spec, density.preprocessing))


def _distance(
    fields: ArchetypeFields, spec: DataSpec, preprocessing: Preprocessing
) -> TangentDistance | None:
    if not fields.blur_px and not fields.invariant_to:
        return None
    if not spec.is_image:
        raise UserError("archetypes.blur_px and archetypes.invariant_to are for pictures; "
                        "leave them out")
    black, _ = preprocessing.to_model(jnp.zeros((1, *spec.shape)), 0.0)
    sizes = {field.name: getattr(fields, field.name) for field in dataclasses.fields(ChangeSizes)
             if field.name.split("_")[0] in fields.invariant_to}
    return TangentDistance(spec.shape, fields.blur_px, ChangeSizes(**sizes),
                           tuple(float(value) for value in black[0, 0, 0]))


def _check_data(fields: ArchetypeFields, spec: DataSpec) -> None:
    for key, needs_labels in (("sets", "per_class"), ("side", "label")):
        if getattr(fields, key) == needs_labels and not spec.n_classes:
            raise UserError(f"archetypes.{key}={needs_labels}: the data has no labels; give labels "
                            "(y) or leave that out")
    n_scores = len(spec.side_names)
    if fields.side == "scores" and not n_scores:
        raise UserError("archetypes.side=scores: the data has no scores; take label or none")
    if fields.start == "side" and n_scores != fields.n_archetypes:
        raise UserError(f"archetypes.start=side: the data has {n_scores} scores for "
                        f"{fields.n_archetypes} archetypes; set archetypes.start to linear")
