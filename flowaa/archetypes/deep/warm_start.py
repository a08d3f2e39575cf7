"""Where deep archetypal analysis starts from: the classical one of the latents it is given.

From random layers the archetypes of some seeds never leave a bad place; these start at the best
linear answer, and training then bends the flow. Latents are seen through their principal
components. With a class for every example the class's mean is taken away first, else the classes
would be the archetypes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from flowaa.archetypes.classical.model import Settings, fit_model
from flowaa.archetypes.deep.heads import ArchetypeHeads
from flowaa.bijectors.base import bound

_N_COMPONENTS = 32  # more hold little but noise, and cost time
_FIT_STEPS = 300
_FIT_LEARNING_RATE = 0.1
_FIT_DECAY = 1e-4  # of the logistic regression's weights: rows at a vertex would drive them out
_SELECTION_SHARPNESS = 4.0  # B should lie on the few rows nearest to a vertex


@dataclasses.dataclass(frozen=True)
class Known:
    """Rows and what is known of them, from which the layers are started."""

    t: np.ndarray  # [n, D] latents
    label: np.ndarray | None = None  # [n] classes
    side: np.ndarray | None = None  # [n, n_side] scores that A Z is to predict
    weights: np.ndarray | None = None  # [n, K]; None finds them by classical archetypal analysis
    seen: np.ndarray | None = None  # [n, P] what that is of; None: of the latents less class means


def warm_start(heads: ArchetypeHeads, params: Any, known: Known, *, seed: int) -> Any:
    """Parameters of the heads, started from rows.

    Args:
        heads: the layers.
        params: their parameters, of which those that nothing is known of are kept.
        known: rows, a few thousand.
        seed: of the classical analysis.
    """
    t = np.asarray(known.t, np.float32)
    centred = t - _class_means(t, known.label)
    components = _components(centred, seed)
    scores = centred @ components.T
    weights = known.weights
    if weights is None:
        seen = scores if known.seen is None else known.seen @ _components(known.seen, seed).T
        settings = Settings(n_archetypes=heads.n_archetypes)
        weights = fit_model(seen, settings, rng=np.random.default_rng(seed)).weights
    weights = np.asarray(weights, np.float32)
    vertices = bound(heads, params).vertices()
    points = weights @ np.asarray(vertices)

    kernel, bias = _logistic(jnp.asarray(scores), jnp.asarray(weights))
    logits = _Affine(components.T @ np.asarray(kernel), np.asarray(bias))
    sharp = _Affine(_SELECTION_SHARPNESS * logits.kernel, _SELECTION_SHARPNESS * logits.bias)
    own = known.label if heads.n_classes else None
    means = [_rows(t, own, index).mean(0) for index in range(max(heads.n_classes, 1))]
    params = dict(params)
    if heads.prototype:  # an unlikely one to begin with
        logits = _Affine(np.pad(logits.kernel, ((0, 0), (0, 1))),
                         np.append(logits.bias, logits.bias.min() - 2.0))
    params["to_weights"] = _layer(params["to_weights"], [logits.after(mean) for mean in means])
    params["to_selection"] = _layer(params["to_selection"], [sharp.after(mean) for mean in means])
    if t.shape[1] == heads.n_dims:  # else what is decoded is not what the rows are seen by
        params["to_latent"] = _layer(params["to_latent"], [
            _least_squares(_rows(points, own, index), _rows(t, own, index))
            for index in range(len(means))])
    if heads.n_side and known.side is not None:
        params["to_side"] = _layer(params["to_side"], [
            _least_squares(_rows(points, own, index), _rows(known.side, own, index))
            for index in range(len(means))])
    return params


def _components(centred: np.ndarray, seed: int) -> np.ndarray:
    """The first principal components [P, D] of rows [n, D] that are centred."""
    from sklearn.decomposition import PCA

    pca = PCA(min(_N_COMPONENTS, *centred.shape), random_state=seed,
              svd_solver="randomized" if centred.shape[1] > 500 else "full").fit(centred)
    return pca.components_.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Affine:
    """x ↦ x · kernel + bias."""

    kernel: np.ndarray
    bias: np.ndarray

    def after(self, mean: np.ndarray) -> "_Affine":
        """The map of x − mean."""
        return _Affine(self.kernel, self.bias - mean @ self.kernel)


def _layer(like: Any, maps: list[_Affine]) -> Any:
    """Parameters of a `ClassDense` that is these maps, one a set."""
    kernel = jnp.asarray(np.stack([one.kernel for one in maps]), jnp.float32)
    bias = jnp.asarray(np.stack([one.bias for one in maps]), jnp.float32)
    layer = {**like, "kernel": kernel, "bias": bias}
    if "length" in like:
        layer["length"] = jnp.linalg.norm(kernel, axis=1)
    return layer


def _least_squares(points: np.ndarray, wanted: np.ndarray) -> _Affine:
    """The affine map from points [n, L] that comes nearest to what is wanted [n, ...]."""
    if not len(points):
        return _Affine(np.zeros((points.shape[1], wanted.shape[1])), np.zeros(wanted.shape[1]))
    design = np.column_stack([points, np.ones(len(points))])
    solution = np.linalg.lstsq(design, wanted, rcond=1e-5)[0]
    return _Affine(solution[:-1], solution[-1])


@jax.jit
def _logistic(x: Array, weights: Array) -> tuple[Array, Array]:
    """Kernel and bias of the softmax regression of weights [n, K] on x [n, P]."""
    scale = jnp.maximum(x.std(0), 1e-6)
    optimizer = optax.adam(_FIT_LEARNING_RATE)

    def loss(params: tuple[Array, Array]) -> Array:
        logits = x / scale @ params[0] + params[1]
        cross_entropy = optax.softmax_cross_entropy(logits, weights).mean()
        return cross_entropy + _FIT_DECAY * jnp.square(params[0]).sum()

    def step(carry: Any, _: None) -> tuple[Any, None]:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    n_archetypes = weights.shape[1]
    start = (jnp.zeros((x.shape[1], n_archetypes)), jnp.zeros(n_archetypes))
    (params, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=_FIT_STEPS)
    return params[0] / scale[:, None], params[1]


def _class_means(t: np.ndarray, label: np.ndarray | None) -> np.ndarray:
    """The mean of each row's class: [n, D], or [1, D] of all."""
    if label is None:
        return t.mean(0, keepdims=True)
    classes, index = np.unique(label, return_inverse=True)
    return np.stack([t[index == one].mean(0) for one in range(len(classes))])[index]


def _rows(values: np.ndarray, label: np.ndarray | None, index: int) -> np.ndarray:
    """The rows of one class, or all; all too of a class that has none."""
    own = slice(None) if label is None else label == index
    return values[own] if len(values[own]) else values
