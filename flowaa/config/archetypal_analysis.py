"""`config.archetypal_analysis`: the fit of a table by `experiments.archetypes`."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from flowaa.archetypes.classical.search import Settings
from flowaa.config.fields import COUNT, COUNT_0, SHARE
from flowaa.errors import UserError


@dataclasses.dataclass(frozen=True)
class AnalysisFields:
    """The keys of `config.archetypal_analysis`, which `configs/default.py` explains."""

    block: ClassVar[str] = "archetypal_analysis"
    n_archetypes: Annotated[int, COUNT_0]
    choose_up_to: Annotated[int, COUNT_0]
    n_bootstraps: Annotated[int, COUNT_0]
    max_rows: Annotated[int, COUNT]
    init: Literal["coreset", "aa++", "furthest_first", "furthest_sum", "uniform"]
    n_init: Annotated[int, COUNT]
    tol: Annotated[float, SHARE]
    max_iter: Annotated[int, COUNT]
    loss: Literal["squared", "huber", "bisquare"]
    trim: Annotated[float, SHARE]
    delta: Annotated[float, SHARE]

    def __post_init__(self) -> None:
        if not self.n_archetypes and not self.choose_up_to:
            raise UserError("archetypal_analysis: set config.archetypal_analysis.n_archetypes, "
                            "or choose_up_to to have it chosen")

    @property
    def settings(self) -> Settings:
        """Those of the fit, with n_archetypes 0 if it is to be chosen."""
        return Settings(**{field.name: getattr(self, field.name)
                           for field in dataclasses.fields(Settings)})
