"""Figures of a split: means over its examples, of which each host reads its share."""

import jax
import numpy as np

from flowaa.data.batches import local_places, sequential_batches
from flowaa.data.dataset import Split
from flowaa.training import parallel
from flowaa.training.problem import Problem, TrainingOptions
from flowaa.training.state import Params


class Evaluation:
    """Means over a split of values per example, in batches of one shape."""

    def __init__(self, problem: Problem, options: TrainingOptions) -> None:
        self._sums = parallel.compile_evaluation(problem.values, options.devices)
        self._batch_size = options.batch_size
        self._n_local = len(places := local_places(options.devices))
        per_device = options.batch_size // len(options.devices)
        self._share = slice(places[0] * per_device, (places[-1] + 1) * per_device)
        self._n_dims = problem.n_dims

    def __call__(self, params: Params, split: Split, key: jax.Array) -> dict[str, float]:
        """Figures of a split.

        Args:
            params: replicated.
            split: of the data.
            key: the run's; an example's noise is drawn from it and from its place in the split.

        Returns:
            Means of `Problem.values`, and of each name with `nll` its bits/dim.
        """
        totals: dict[str, float] = {}
        key = jax.random.fold_in(key, 2**31 - 1)  # apart from every step's
        for batch in sequential_batches(split, self._batch_size, self._share):
            sums = self._sums(params, parallel.shard(batch, self._n_local), key)
            for name, value in parallel.unreplicate(sums).items():
                totals[name] = totals.get(name, 0.0) + float(value)
        figures = {name: total / len(split) for name, total in totals.items()}
        for name in [name for name in figures if "nll" in name]:
            bits = figures[name] / (self._n_dims * np.log(2.0))
            figures[name.replace("nll", "bits_per_dim")] = bits
        return figures
