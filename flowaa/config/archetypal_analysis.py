"""`config.archetypal_analysis`: the fit of a table by `experiments.archetypes`."""

import dataclasses
from typing import Annotated

from ml_collections import ConfigDict

from flowaa.archetypes.classical.robust import LOSSES
from flowaa.archetypes.classical.search import INITS, Settings
from flowaa.config.fields import COUNT, COUNT_0, SHARE, Range, read
from flowaa.errors import UserError

_RANGES: dict[str, Range] = {
    "n_archetypes": COUNT_0, "n_init": COUNT, "tol": SHARE, "max_iter": COUNT, "trim": SHARE}


@dataclasses.dataclass(frozen=True)
class AnalysisFields:
    """The keys that are not `Settings` of a fit."""

    choose_up_to: Annotated[int, COUNT_0]
    n_bootstraps: Annotated[int, COUNT_0]
    max_rows: Annotated[int, COUNT]


def read_archetypal_analysis(config: ConfigDict) -> tuple[Settings, AnalysisFields]:
    """The settings of the fit, with n_archetypes 0 if the elbow is to be taken; and the rest.

    Raises:
        UserError: a choice is not one there is, or no number of archetypes is asked for.
    """
    settings = read(Settings, config, "archetypal_analysis", _RANGES)
    fields = read(AnalysisFields, config, "archetypal_analysis")
    for name, choices in (("init", INITS), ("loss", LOSSES)):
        if getattr(settings, name) not in choices:
            raise UserError(f"archetypal_analysis.{name}: there is no {getattr(settings, name)!r}; "
                            f"there are {', '.join(choices)}")
    if not settings.n_archetypes and not fields.choose_up_to:
        raise UserError("archetypal_analysis: set --config.archetypal_analysis.n_archetypes, or "
                        "choose_up_to to have it chosen")
    return settings, fields
