"""The weights of the archetypes in each row: given Z, min ½‖x_i − Σ_j a_ij z_j‖² over the simplex.

Every row is a quadratic programme in K weights with the same matrix Z Zᵀ, so all rows advance
together. Weights lie as [K, B], archetypes first: sums over archetypes then run along whole
vectors of rows. A row stops when its own duality gap is small enough, so that its weights do not
depend on its neighbours. A solver takes and improves

    gram       [K, K]  Z Zᵀ
    target     [K, B]  Z xᵀ
    start      [K, B]  columns on the simplex
    tolerance  []      the duality gap at which a row stops
    max_steps  []      the steps after which all rows stop
"""

import jax.numpy as jnp
from jax import Array, lax

from flowaa.archetypes.classical.projection import project_onto_simplex


def duality_gaps(weights: Array, gradient: Array) -> Array:
    """How far, at most, each column's objective lies above its optimum [B] (Frank–Wolfe gap)."""
    return (weights * gradient).sum(0) - gradient.min(0)


def pairwise_frank_wolfe(
    gram: Array, target: Array, start: Array, tolerance: Array, max_steps: Array
) -> Array:
    """Moves weight from the worst archetype in use to the best one, with exact line search.

    The forward and the away step of Frank–Wolfe (Bauckhage et al. 2015) in one, which converges
    linearly (Lacoste-Julien & Jaggi 2015, pairwise Frank–Wolfe).
    """
    ids = jnp.arange(gram.shape[0])[:, None]
    tiny = jnp.finfo(gram.dtype).tiny

    State = tuple[Array, Array, Array, Array]

    def advance(state: State) -> State:
        weights, gradient, steps, _ = state
        best = ids == gradient.argmin(0)
        worst = ids == jnp.where(weights > 0, gradient, -jnp.inf).argmax(0)
        move = best.astype(gram.dtype) - worst
        curved = gram @ move
        descent = -(move * gradient).sum(0)  # at least the duality gap
        step = descent / jnp.maximum((move * curved).sum(0), tiny)
        available = jnp.where(worst, weights, 0.0).sum(0)
        step = jnp.where(descent > tolerance, jnp.minimum(step, available), 0.0)
        weights = jnp.maximum(weights + step * move, 0.0)
        return weights, gradient + step * curved, steps + 1, descent.max()

    def unfinished(state: State) -> Array:
        return (state[2] < max_steps) & (state[3] > tolerance)

    infinite = jnp.array(jnp.inf, gram.dtype)
    state = (start, gram @ start - target, jnp.int32(0), infinite)
    return lax.while_loop(unfinished, advance, state)[0]


def accelerated_gradient(
    gram: Array, target: Array, start: Array, tolerance: Array, max_steps: Array
) -> Array:
    """Projected gradient with momentum, restarted row by row where it points uphill.

    Beck & Teboulle 2009 (SIAM J. Imaging Sci. 2), with the gradient restart of O'Donoghue &
    Candès 2015 (Found. Comput. Math. 15). The step is one over the largest eigenvalue of `gram`.
    """
    step = 1.0 / jnp.maximum(jnp.linalg.eigvalsh(gram)[-1], jnp.finfo(gram.dtype).tiny)
    State = tuple[Array, Array, Array, Array, Array]

    def advance(state: State) -> State:
        weights, ahead, momentum, active, steps = state
        new = project_onto_simplex(ahead - step * (gram @ ahead - target), axis=0)
        new = jnp.where(active, new, weights)
        change = new - weights
        uphill = ((ahead - new) * change).sum(0) > 0
        grown = 0.5 + jnp.sqrt(0.25 + momentum**2)
        drive = jnp.where(uphill, 0.0, (momentum - 1.0) / grown)
        active = duality_gaps(new, gram @ new - target) > tolerance
        return new, new + drive * change, jnp.where(uphill, 1.0, grown), active, steps + 1

    def unfinished(state: State) -> Array:
        return (state[4] < max_steps) & state[3].any()

    active = duality_gaps(start, gram @ start - target) > tolerance
    state = (start, start, jnp.ones_like(start[0]), active, jnp.int32(0))
    return lax.while_loop(unfinished, advance, state)[0]
