"""The start of deep archetypal analysis: heads fitted to the latents of some training rows.

From random layers the archetypes of some seeds never leave a bad place. These start at the best
linear answer, classical archetypal analysis (Cutler & Breiman 1994, Technometrics 36) of the
latents' principal components, and training then bends the flow. Where classes are known, their
means are subtracted first; else the classes would be the archetypes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
from jax import Array
from jax.flatten_util import ravel_pytree

from flowaa.archetypes.classical.model import fit_model
from flowaa.archetypes.classical.search import Settings
from flowaa.archetypes.deep.heads import ArchetypeHeads
from flowaa.archetypes.principal_components import principal_components
from flowaa.bijectors.base import bound

_N_COMPONENTS = 32  # more contain little but noise, and cost time
_DECAY = 1e-4  # of the regression's weights, which diverge where every row is at a vertex
_SELECTION_SHARPNESS = 4.0  # concentrates B on the few rows nearest to a vertex


@dataclasses.dataclass(frozen=True)
class StartRows:
    """Training rows that the heads are fitted to."""

    t: np.ndarray  # [n, D] latents
    label: np.ndarray | None = None  # [n] classes
    side: np.ndarray | None = None  # [n, n_side] scores that A Z is to predict
    weights: np.ndarray | None = None  # [n, K]; None finds them by classical archetypal analysis …
    features: np.ndarray | None = None  # [n, P] … of these; None: of latents less class means


def warm_start(heads: ArchetypeHeads, params: Any, rows: StartRows, *, seed: int) -> Any:
    """Parameters of the heads, fitted to rows.

    Args:
        heads: the layers.
        params: their parameters; layers about which the rows say nothing keep theirs.
        rows: a few thousand.
        seed: of the classical analysis.
    """
    t = np.asarray(rows.t, np.float32)
    centred = t - _class_means(t, rows.label)
    components = principal_components(centred, _N_COMPONENTS, seed=seed)[1]
    scores = centred @ components.T
    weights = rows.weights
    if weights is None:
        features = scores
        if rows.features is not None:
            mean, axes = principal_components(rows.features, _N_COMPONENTS, seed=seed)
            features = (rows.features - mean) @ axes.T
        settings = Settings(n_archetypes=heads.n_archetypes)
        weights = fit_model(features, settings, rng=np.random.default_rng(seed)).weights
    weights = np.asarray(weights, np.float32)
    points = weights @ np.asarray(bound(heads, params).vertices())

    logits = _softmax_regression(scores, weights)
    logits = _Affine(components.T @ logits.kernel, logits.bias)
    selection = _Affine(_SELECTION_SHARPNESS * logits.kernel, _SELECTION_SHARPNESS * logits.bias)
    if heads.prototype:  # its weight starts small
        logits = _Affine(np.pad(logits.kernel, ((0, 0), (0, 1))),
                         np.append(logits.bias, logits.bias.min() - 2.0))
    members = [np.arange(len(t))]
    if heads.n_classes:
        members = [_members(rows.label, index) for index in range(heads.n_classes)]
    params = dict(params)
    for name, affine in (("to_weights", logits), ("to_selection", selection)):
        params[name] = _layer(params[name], [affine.after(t[m].mean(0)) for m in members])
    targets = {"to_latent": t if t.shape[1] == heads.n_dims else None,  # else another space
               "to_side": rows.side if heads.n_side else None}
    for name, target in targets.items():
        if target is not None:
            params[name] = _layer(
                params[name], [_least_squares(points[m], target[m]) for m in members])
    return params


@dataclasses.dataclass(frozen=True)
class _Affine:
    """x ↦ x · kernel + bias."""

    kernel: np.ndarray
    bias: np.ndarray

    def after(self, mean: np.ndarray) -> "_Affine":
        """The map of x − mean."""
        return _Affine(self.kernel, self.bias - mean @ self.kernel)


def _layer(like: Any, maps: list[_Affine]) -> Any:
    """Parameters of a `ClassDense` with one map for each set."""
    kernel = jnp.asarray(np.stack([affine.kernel for affine in maps]), jnp.float32)
    bias = jnp.asarray(np.stack([affine.bias for affine in maps]), jnp.float32)
    layer = {**like, "kernel": kernel, "bias": bias}
    if "length" in like:
        layer["length"] = jnp.linalg.norm(kernel, axis=1)
    return layer


def _least_squares(points: np.ndarray, target: np.ndarray) -> _Affine:
    """The affine map from points [n, L] that comes nearest to a target [n, ...]."""
    design = np.column_stack([points, np.ones(len(points))])
    solution = np.linalg.lstsq(design, target, rcond=1e-5)[0]
    return _Affine(solution[:-1], solution[-1])


def _softmax_regression(x: np.ndarray, weights: np.ndarray) -> _Affine:
    """The logits of weights [n, K] as an affine map of x [n, P], by L-BFGS."""
    scale = np.maximum(x.std(0), 1e-6)
    n_archetypes = weights.shape[1]
    first, unravel = ravel_pytree((jnp.zeros((x.shape[1], n_archetypes)), jnp.zeros(n_archetypes)))

    @jax.jit
    @jax.value_and_grad
    def loss(flat: Array) -> Array:
        kernel, bias = unravel(flat)
        cross_entropy = optax.softmax_cross_entropy(x / scale @ kernel + bias, weights).mean()
        return cross_entropy + _DECAY * jnp.square(kernel).sum()

    result = scipy.optimize.minimize(loss, first, jac=True, method="L-BFGS-B")
    kernel, bias = unravel(jnp.asarray(result.x, jnp.float32))
    return _Affine(np.asarray(kernel) / scale[:, None], np.asarray(bias))


def _class_means(t: np.ndarray, label: np.ndarray | None) -> np.ndarray:
    """The mean of each row's class [n, D], or of all rows [1, D]."""
    if label is None:
        return t.mean(0, keepdims=True)
    classes, index = np.unique(label, return_inverse=True)
    return np.stack([t[index == one].mean(0) for one in range(len(classes))])[index]


def _members(label: np.ndarray | None, index: int) -> np.ndarray:
    """The rows of a class; all rows for a class that has none."""
    assert label is not None, "heads of each class need the class of every row"
    rows = np.flatnonzero(label == index)
    return rows if len(rows) else np.arange(len(label))
