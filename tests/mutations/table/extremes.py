"""Breakages of `extremes`."""

from tests.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = ()
