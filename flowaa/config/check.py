"""The check of a whole config, before anything is loaded, built or written."""

from ml_collections import ConfigDict

from flowaa.archetypes.classical.search import Settings
from flowaa.config import archetypal_analysis, archetypes, data, detector, flow, optimizer, training
from flowaa.config.fields import read_seed, refuse_unknown_keys
from flowaa.errors import UserError
from flowaa.training.archetypes.options import ArchetypeOptions

_BLOCKS: dict[str, tuple[type, ...]] = {
    "data": (data.DataFields,),
    "flow": (flow.FlowFields,),
    "likelihood": (flow.LikelihoodFields,),
    "archetypes": (ArchetypeOptions,),
    "optimizer": (optimizer.OptimizerFields,),
    "training": (training.TrainingFields,),
    "archetypal_analysis": (Settings, archetypal_analysis.AnalysisFields),
    "detector": (detector.DetectorFields,),
    "figures": (training.FigureFields,),
}


def check_config(config: ConfigDict) -> None:
    """Raises a `UserError` that names the first key that is missing, unknown, or out of range."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"config is of type {type(config).__name__}; give a ConfigDict, e.g. "
                        "flowaa.configs.default.get_config()")
    for key in config:
        if key != "seed" and key not in _BLOCKS:
            raise UserError(f"{key}: the config has no such block; there are seed, "
                            f"{', '.join(_BLOCKS)}")
    read_seed(config)
    for reader in (data.read_data, flow.read_flow, flow.read_likelihood, optimizer.read_optimizer,
                   training.read_training, archetypes.read_archetypes,
                   archetypal_analysis.read_archetypal_analysis, training.read_figures):
        reader(config)
    detector.read_detector(config.get("detector"))
    for block, kinds in _BLOCKS.items():
        refuse_unknown_keys(config, block, *kinds)
