"""Breakages of `config`."""

from tests.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = ()
