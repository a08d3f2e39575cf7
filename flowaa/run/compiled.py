"""The functions of a run, each compiled once for rows in batches."""

from typing import Any

import jax

from flowaa.bijectors.base import bound
from flowaa.flow.density import MIDDLE_OF_LEVEL, Density
from flowaa.outliers import draws as outliers
from flowaa.outliers import evidence
from flowaa.outliers.plane import ArchetypePlane
from flowaa.run.batching import Batched, batch_size
from flowaa.training.archetypes.objective import ArchetypeModel
from flowaa.training.archetypes.simplex import SimplexModel
from flowaa.training.state import Params

Array = jax.Array


class Compiled:
    """The functions by name; each is compiled when it is first called."""

    def __init__(self, density: Density, model: ArchetypeModel | SimplexModel | None) -> None:
        """`model` is that of the archetypes, where the run has any."""
        size = batch_size(density.flow.n_dims)

        def encode(params: Params, x: Array, label: Any, context: Any) -> tuple[Array, Array]:
            return density.encode(params, x, label, MIDDLE_OF_LEVEL, context)

        def log_prob(
            params: Params, key: Array | None, x: Array, label: Any, context: Any, row: Array
        ) -> Array:
            noise = MIDDLE_OF_LEVEL if key is None else density.noise(key, row)
            return density.far_out(
                density.log_prob(params, x, label, noise, context=context), x)

        def sample(
            params: Params, key: Array, temperature: float, row: Array, label: Any, context: Any
        ) -> Array:
            def latent(row: Array, label: Array | None) -> Array:
                label = None if label is None else label[None]
                draw = bound(density.flow, params).sample_latent
                return draw(jax.random.fold_in(key, row), 1, label, temperature)[0]

            return density.decode(params, jax.vmap(latent)(row, label), label, context)

        def numbers(
            params: Params, plane: ArchetypePlane | None, by_gauge: bool, x: Array, z: Array,
            label: Any,
        ) -> outliers.Numbers:
            return outliers.numbers(density, params, x, z, label, plane, by_gauge=by_gauge)

        self.encode, self.decode = Batched(encode, size), Batched(density.decode, size)
        self.log_prob, self.sample = Batched(log_prob, size), Batched(sample, size)
        self.numbers = Batched(numbers, size)
        self.statistics = Batched(
            lambda params, x, label: evidence.flow_statistics(density, params, x, label), size)
        if model is not None:
            self.weights = Batched(
                lambda params, x, label: model.weights(params, x, label, MIDDLE_OF_LEVEL), size)
            self.decode_weights = Batched(model.decode_weights, size)
        if isinstance(model, SimplexModel):
            self.with_weights = Batched(
                lambda params, x, weights, label: model.with_weights(
                    params, x, weights, label, MIDDLE_OF_LEVEL), size)
