"""Breakages of `data`."""

from tests.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = ()
