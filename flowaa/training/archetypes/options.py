"""The options of deep archetypes; from them the model and the phases of its training."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from flowaa.archetypes.deep.heads import ArchetypeHeads
from flowaa.archetypes.deep.tangents import Change, ChangeSizes, TangentDistance
from flowaa.data.dataset import DataSpec, Split
from flowaa.errors import UserError
from flowaa.flow.density import Density
from flowaa.flow.likelihood import Preprocessing
from flowaa.training.archetypes.bottleneck import Bottleneck, FlowBottleneck
from flowaa.training.archetypes.objective import ArchetypeModel, LossWeights, Side
from flowaa.training.archetypes.start import start_heads
from flowaa.training.archetypes.variational import EncoderDecoder, VariationalBottleneck
from flowaa.training.phases import Phase
from flowaa.training.step import Loss


@dataclasses.dataclass(frozen=True)
class ArchetypeOptions:
    """The config's block `archetypes`, typed; `configs/default.py` says what each key means."""

    n_archetypes: int
    bottleneck: Literal["flow", "variational"]
    variational_width: int
    vertices: Literal["fixed", "learned"]
    sets: Literal["shared", "per_class"]
    prototype: bool
    overshoot: float
    weight_norm: bool
    weight_noise: float
    side: Side
    start: Literal["linear", "side", "random"]
    start_rows: int
    blur_px: float
    invariant_to: tuple[Change, ...]
    shift_px: float
    rotation_degrees: float
    scale_percent: float
    brightness_percent: float
    pretrained: str
    freeze_flow: bool
    warm_up_steps: int
    nll_weight: float
    archetype_weight: float
    reconstruction_weight: float
    latent_reconstruction_weight: float
    side_weight: float
    prototype_weight: float
    volume_weight: float

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

    def model(self, spec: DataSpec, density: Density) -> ArchetypeModel:
        """The heads on the density's flow, or on an encoder and decoder in its place.

        Raises:
            UserError: the data lacks what the heads need.
        """
        self._check_data(spec)
        if density.flow.context_mean:
            raise UserError("archetypes: a flow with context has none; leave the context out of "
                            "the data, or set --config.flow.conditional=False")
        bottleneck: Bottleneck = FlowBottleneck(density)
        if self.bottleneck == "variational":
            network = EncoderDecoder(
                spec.shape, self.variational_width, n_latent=self.n_archetypes - 1,
                n_classes=density.flow.n_condition_classes)
            bottleneck = VariationalBottleneck(network, density.preprocessing)
        n_side = {"none": 0, "label": spec.n_classes, "scores": len(spec.side_names)}[self.side]
        heads = ArchetypeHeads(
            self.n_archetypes, bottleneck.n_latent, n_side,
            n_classes=spec.n_classes if self.sets == "per_class" else 0,
            learned_vertices=self.vertices == "learned", prototype=self.prototype,
            overshoot=self.overshoot, weight_norm=self.weight_norm,
        )
        return ArchetypeModel(bottleneck, heads, self.side, self.weight_noise,
                              self._distance(spec, density.preprocessing))

    def _distance(self, spec: DataSpec, preprocessing: Preprocessing) -> TangentDistance | None:
        if not self.blur_px and not self.invariant_to:
            return None
        if not spec.is_image:
            raise UserError("archetypes.blur_px and archetypes.invariant_to are for pictures; "
                            "leave them out")
        black, _ = preprocessing.to_model(jnp.zeros((1, *spec.shape)), 0.0)
        sizes = {field.name: getattr(self, field.name) for field in dataclasses.fields(ChangeSizes)
                 if field.name.split("_")[0] in self.invariant_to}
        return TangentDistance(spec.shape, self.blur_px, ChangeSizes(**sizes),
                               tuple(float(value) for value in black[0, 0, 0]))

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

    def _check_data(self, spec: DataSpec) -> None:
        by_label = {"sets": self.sets == "per_class", "side": self.side == "label"}
        for key in [key for key, needs_labels in by_label.items() if needs_labels]:
            if not spec.n_classes:
                raise UserError(f"archetypes.{key}={getattr(self, key)}: the data has no labels; "
                                "give labels (y) or leave that out")
        n_scores = len(spec.side_names)
        if self.side == "scores" and not n_scores:
            raise UserError("archetypes.side=scores: the data has no scores; take label or none")
        if self.start == "side" and n_scores != self.n_archetypes:
            raise UserError(f"archetypes.start=side: the data has {n_scores} scores for "
                            f"{self.n_archetypes} archetypes; set archetypes.start to linear")
