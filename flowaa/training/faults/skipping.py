"""Steps whose gradient is not finite, or has exploded, are skipped and counted.

A skipped step leaves parameters and optimizer as they were; a batch that is poisoned, or a number
that overflows, costs that step and no more.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

SKIPPED = "skipped"  # the metric's name: 1 in a step that was skipped, else 0
_NEVER = 2**31 - 2  # number of skipped steps in a row after which optax takes one nevertheless


def skip_unsound(
    optimizer: optax.GradientTransformation, max_norm: float
) -> optax.GradientTransformation:
    """The optimizer, which skips gradients that are not finite or have a norm above `max_norm`.

    Args:
        optimizer: of sound gradients.
        max_norm: of the global gradient; 0 bounds nothing.

    Returns:
        An optimizer whose updates are 0 in a skipped step and whose state counts them.
    """
    skipping = optax.apply_if_finite(optimizer, _NEVER)
    if not max_norm:
        return skipping

    def mark(gradient: optax.Updates, params: optax.Params | None = None) -> optax.Updates:
        del params
        is_sound = optax.global_norm(gradient) <= max_norm
        return jax.tree.map(lambda part: jnp.where(is_sound, part, jnp.nan), gradient)

    return optax.chain(optax.stateless(mark), skipping)


def was_skipped(opt_state: optax.OptState) -> jax.Array:
    """Whether the last step was skipped, []; never by an optimizer that skips none."""
    is_sound = optax.tree_utils.tree_get(opt_state, "last_finite")
    return jnp.zeros((), bool) if is_sound is None else ~is_sound


def n_skipped(opt_state: optax.OptState) -> tuple[int, int]:
    """Steps skipped altogether and, up to the last one, in a row; of one device or replicated."""
    total, in_a_row = (optax.tree_utils.tree_get(opt_state, name, 0)
                       for name in ("total_notfinite", "notfinite_count"))
    return int(np.ravel(total)[0]), int(np.ravel(in_a_row)[0])
