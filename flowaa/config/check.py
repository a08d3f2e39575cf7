"""The check of a whole config, before anything is loaded, built or written."""

from typing import Any

from ml_collections import ConfigDict

from flowaa.config.archetypal_analysis import AnalysisFields
from flowaa.config.archetypes import ArchetypeFields, read_archetypes
from flowaa.config.data import DataFields
from flowaa.config.detector import DetectorFields
from flowaa.config.fields import read, read_seed, refuse_unknown_keys
from flowaa.config.flow import FlowFields, LikelihoodFields
from flowaa.config.optimizer import OptimizerFields
from flowaa.config.training import FigureFields, TrainingFields
from flowaa.errors import UserError

_BLOCKS: tuple[Any, ...] = (
    DataFields, FlowFields, LikelihoodFields, OptimizerFields, TrainingFields, ArchetypeFields,
    AnalysisFields, DetectorFields, FigureFields)


def check_config(config: ConfigDict) -> None:
    """Raises a `UserError` that names the first key that is missing, unknown, or out of range."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"config is of type {type(config).__name__}; give a ConfigDict, e.g. "
                        "flowaa.configs.default.get_config()")
    names = ("seed", *(kind.block for kind in _BLOCKS))
    for key in config:
        if key not in names:
            raise UserError(f"{key}: the config has no such block; there are {', '.join(names)}")
    read_seed(config)
    for kind in _BLOCKS:
        read(kind, config)
        refuse_unknown_keys(kind, config)
    read_archetypes(config)
