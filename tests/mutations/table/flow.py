"""Breakages of `flow`."""

from tests.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = ()
