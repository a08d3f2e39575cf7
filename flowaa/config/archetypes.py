"""`config.archetypes`: the ranges of its keys, and the heads that they describe."""

from ml_collections import ConfigDict

from flowaa.config.fields import COUNT, COUNT_0, COUNT_0_OR_2, FROM_0, POSITIVE, Range, read
from flowaa.config.training import read_training
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError
from flowaa.flow.density import Density
from flowaa.training.archetypes.objective import ArchetypeModel
from flowaa.training.archetypes.options import ArchetypeOptions

_RANGES: dict[str, Range] = {
    "n_archetypes": COUNT_0_OR_2,
    "variational_width": COUNT,
    "overshoot": FROM_0,
    "weight_noise": FROM_0,
    "start_rows": COUNT,
    "blur_px": FROM_0,
    "shift_px": POSITIVE,
    "rotation_degrees": POSITIVE,
    "scale_percent": POSITIVE,
    "brightness_percent": POSITIVE,
    "warm_up_steps": COUNT_0,
    "nll_weight": FROM_0,
    "archetype_weight": FROM_0,
    "reconstruction_weight": FROM_0,
    "latent_reconstruction_weight": FROM_0,
    "side_weight": FROM_0,
    "prototype_weight": FROM_0,
    "volume_weight": FROM_0,
}


def read_archetypes(config: ConfigDict) -> ArchetypeOptions:
    """The typed `config.archetypes`."""
    options = read(ArchetypeOptions, config, "archetypes", _RANGES)
    per_call = read_training(config).steps_per_call
    if options.warm_up_steps % per_call:
        raise UserError(f"archetypes.warm_up_steps is {options.warm_up_steps}; set it to a "
                        f"multiple of training.steps_per_call={per_call}")
    return options


def build_archetypes(
    config: ConfigDict, spec: DataSpec, density: Density
) -> ArchetypeModel | None:
    """The heads of `config.archetypes` on a density, or None where the flow is trained alone."""
    options = read_archetypes(config)
    return options.model(spec, density) if options.n_archetypes else None
