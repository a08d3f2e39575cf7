"""Watches reversible training, which is given up where its gradients can no longer be trusted."""

from collections.abc import Callable

import jax

from flowaa.data.batches import Labelled
from flowaa.errors import warn
from flowaa.flow.density import Density
from flowaa.flow.reversibility import Reversibility, measure_reversibility, worst_block
from flowaa.training.state import Params
from flowaa.training.step import Loss

# In the row of the step at which reversible training was given up.
GIVEN_UP = "reversible/given_up"
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
        self._compare: Callable[..., Reversibility] = jax.jit(self._measure)

    def is_due(self, step: int) -> bool:
        """Whether to measure before taking step `step` + 1."""
        return step % self._every_steps == 0

    def check(
        self, params: Params, rows: Labelled, key: jax.Array
    ) -> tuple[bool, dict[str, float]]:
        """Whether reversible gradients can be trusted, and the figures, as scalars for the log.

        Where they cannot, the user is warned, and the figures have `GIVEN_UP`.
        """
        few = jax.tree.map(lambda column: column[:_MAX_EXAMPLES], rows)
        measured = self._compare(params, few, key)
        cosine = float(measured.gradient_cosine)
        scalars = {
            "reversible/reconstruction_error": float(measured.reconstruction_error),
            "reversible/gradient_cosine": cosine,
            "reversible/gradient_error": float(measured.gradient_error),
        }
        is_trusted = cosine >= self._min_cosine  # NaN is not
        if not is_trusted:
            scalars[GIVEN_UP] = 1.0
            warn(f"reversible gradients have a cosine of {cosine:.4f} to the stored ones; the "
                 f"error is largest in {worst_block(self._density.flow, measured)}; training goes "
                 "on with flow.memory=stored")
        return is_trusted, scalars

    def _measure(self, params: Params, rows: Labelled, key: jax.Array) -> Reversibility:
        noise = self._density.noise(key, jax.numpy.arange(len(rows.x)))
        u, _ = self._density.preprocessing.to_model(rows.x, noise)
        return measure_reversibility(self._density.flow, params, u, rows.y, rows.context)
