"""From training rows to the parameters that archetypes start with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.archetypes.deep.warm_start import Known, warm_start
from flowaa.data.dataset import Split
from flowaa.data.seeding import Stream, generator
from flowaa.flow.density import MIDDLE_OF_LEVEL
from flowaa.training.archetypes.objective import ArchetypeModel
from flowaa.training.state import Params

_BATCH = 500  # rows encoded at once


def start_heads(
    model: ArchetypeModel, train: Split, params: Params, *, n_rows: int, weights_are_side: bool,
    seed: int,
) -> Params:
    """Parameters whose heads fit the latents of some training rows.

    Args:
        model: a bottleneck and the heads.
        train: where rows are drawn from.
        params: of the model.
        n_rows: how many are drawn.
        weights_are_side: whether the rows' side information is what their weights start as.
        seed: of the draw, and of the classical analysis where weights start from one.
    """
    order = generator(seed, Stream.ARCHETYPES).permutation(len(train))
    rows = np.sort(order[:n_rows])
    encode = jax.jit(functools.partial(model.encode, noise=MIDDLE_OF_LEVEL))
    t = np.concatenate([encode(params, jnp.asarray(train.x[some]), _at(train.y, some))
                        for some in _batches(rows)])
    label, side = _at(train.y, rows), _at(train.side, rows)
    weights = seen = None
    if weights_are_side:
        weights = side
    elif model.distance is not None:
        n_classes = 0 if train.y is None else int(train.y.max()) + 1
        seen = seen_pictures(model, train, rows, class_centres(model, train, rows, n_classes))
    known = Known(t, label, side, weights, seen)
    return {**params, "heads": warm_start(model.heads, params["heads"], known, seed=seed)}


def class_centres(
    model: ArchetypeModel, split: Split, rows: np.ndarray, n_classes: int
) -> np.ndarray:
    """Mean pictures [G, H, W, C] in model units of each class of some rows; 0 classes are one.

    That of a class that none of the rows belongs to is the mean of all.
    """
    y, label = _model_units(model, split, rows), _at(split.y, rows)
    if label is None:
        return y.mean(0, keepdims=True)
    present = [y[label == one] for one in range(n_classes)]
    return np.stack([(own if len(own) else y).mean(0) for own in present])


def seen_pictures(
    model: ArchetypeModel, split: Split, rows: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Some rows' pictures [n, D] as the model's distance sees them, less their class's centre."""
    assert model.distance is not None, "this model compares values"
    y = _model_units(model, split, rows)
    label = np.zeros(len(rows), int) if split.y is None else split.y[rows]
    centred = jax.jit(model.distance.centred)
    return np.concatenate([
        centred(y[some], centres[label[some]]).reshape(len(some), -1)
        for some in _batches(np.arange(len(rows)))])


def _model_units(model: ArchetypeModel, split: Split, rows: np.ndarray) -> np.ndarray:
    to_model = model.bottleneck.preprocessing.to_model
    return np.concatenate([to_model(jnp.asarray(split.x[some]), MIDDLE_OF_LEVEL)[0]
                           for some in _batches(rows)])


def _batches(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, -(-len(rows) // _BATCH))


def _at(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]
