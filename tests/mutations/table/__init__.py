"""The table of breakages, a file a room of the package."""

from tests.mutations.mutation import Mutation
from tests.mutations.table import (
    archetypes,
    archetypes_deep,
    config,
    data,
    detection,
    estimators,
    extremes,
    flow,
    tables,
    training,
)

MUTATIONS: tuple[Mutation, ...] = (
    *flow.MUTATIONS, *archetypes.MUTATIONS, *archetypes_deep.MUTATIONS, *extremes.MUTATIONS,
    *detection.MUTATIONS, *data.MUTATIONS, *training.MUTATIONS, *config.MUTATIONS,
    *estimators.MUTATIONS, *tables.MUTATIONS,
)
