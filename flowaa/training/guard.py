"""Watches reversible training: where its gradients can no longer be trusted, it is given up."""

import logging
from collections.abc import Callable
from typing import Any

import jax

from flowaa.flow.density import Density
from flowaa.flow.reversibility import Reversibility, measure_reversibility, worst_block
from flowaa.training.state import Params
from flowaa.training.step import Loss

_LOG = logging.getLogger(__name__)
_MAX_EXAMPLES = 8  # the stored gradient it compares with must not need the memory that was saved


class ReversibilityGuard:
    """Measures reversible against stored gradients on a few examples of a batch."""

    def __init__(
        self, density: Density, stored_loss: Loss, *, every_steps: int, min_cosine: float
    ) -> None:
        """Sets up a guard.

        Args:
            density: what is trained, reversibly.
            stored_loss: what training goes on with once reversible gradients are not trusted.
            every_steps: steps between measurements.
            min_cosine: the smallest gradient cosine that is trusted.
        """
        self.stored_loss = stored_loss
        self._density = density
        self._every_steps = every_steps
        self._min_cosine = min_cosine
        self._measure: Callable[..., Reversibility] = jax.jit(self._found)

    def is_due(self, step: int) -> bool:
        """Whether to measure before taking step `step` + 1."""
        return step % self._every_steps == 0

    def check(
        self, params: Params, x: Any, y: Any, key: jax.Array
    ) -> tuple[bool, dict[str, float]]:
        """Whether reversible gradients can be trusted, and the figures, as scalars for the log."""
        y = None if y is None else y[:_MAX_EXAMPLES]
        found = self._measure(params, x[:_MAX_EXAMPLES], y, key)
        scalars = {
            "reversible/reconstruction_error": float(found.reconstruction_error),
            "reversible/gradient_cosine": float(found.gradient_cosine),
            "reversible/gradient_error": float(found.gradient_error),
        }
        trusted = scalars["reversible/gradient_cosine"] >= self._min_cosine  # NaN is not
        if not trusted:
            _LOG.warning(
                "reversible gradients have a cosine of %.4f to the stored ones; most is lost in "
                "%s; training goes on with flow.memory=stored",
                scalars["reversible/gradient_cosine"], worst_block(self._density.flow, found),
            )
        return trusted, scalars

    def _found(self, params: Params, x: Any, y: Any, key: jax.Array) -> Reversibility:
        ids = jax.numpy.arange(len(x))
        units, _ = self._density.preprocessing.to_model(x, self._density.noise(key, ids))
        return measure_reversibility(self._density.flow, params, units, y)
