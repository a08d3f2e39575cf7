"""From training rows to the parameters that archetypes start with."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.archetypes.deep.warm_start import StartRows, warm_start
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
        weights_are_side: whether the rows' weights start as their side information.
        seed: of the draw, and of the classical analysis where weights start from one.
    """
    order = generator(seed, Stream.ARCHETYPES).permutation(len(train))
    rows = np.sort(order[:n_rows])
    encode = jax.jit(functools.partial(model.encode, noise=MIDDLE_OF_LEVEL))
    t = np.concatenate([encode(params, jnp.asarray(train.x[batch]), at(train.y, batch))
                        for batch in batches(rows)])
    label, side = at(train.y, rows), at(train.side, rows)
    weights = features = None
    if weights_are_side:
        weights = side
    elif model.distance is not None:
        n_classes = 0 if train.y is None else int(train.y.max()) + 1
        centres = class_centres(model, train, rows, n_classes)
        features = centred_pictures(model, train, rows, centres)
    fitted = warm_start(model.heads, params["heads"],
                        StartRows(t, label, side, weights, features), seed=seed)
    return {**params, "heads": fitted}


def class_centres(
    model: ArchetypeModel, split: Split, rows: np.ndarray, n_classes: int
) -> np.ndarray:
    """Mean pictures [G, H, W, C] in model units of each class of some rows; 0 classes are one.

    The centre of a class that none of the rows belongs to is the mean of all.
    """
    u, label = _model_units(model, split, rows), at(split.y, rows)
    if label is None:
        return u.mean(0, keepdims=True)
    members = [u[label == index] for index in range(n_classes)]
    return np.stack([(of_class if len(of_class) else u).mean(0) for of_class in members])


def centred_pictures(
    model: ArchetypeModel, split: Split, rows: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Differences [n, D], by the model's distance, of some rows' pictures from class centres."""
    assert model.distance is not None, "this model compares pixel by pixel"
    u = _model_units(model, split, rows)
    label = np.zeros(len(rows), int) if split.y is None else split.y[rows]
    centred = jax.jit(model.distance.centred)
    return np.concatenate([
        centred(u[batch], centres[label[batch]]).reshape(len(batch), -1)
        for batch in batches(np.arange(len(rows)))])


def batches(rows: np.ndarray) -> list[np.ndarray]:
    """Indices of rows in parts that are small enough to be encoded at once."""
    return np.array_split(rows, -(-len(rows) // _BATCH))


def at(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Entries of labels or side information, where the data has any."""
    return None if values is None else values[rows]


def _model_units(model: ArchetypeModel, split: Split, rows: np.ndarray) -> np.ndarray:
    to_model = model.bottleneck.preprocessing.to_model
    return np.concatenate([to_model(jnp.asarray(split.x[batch]), MIDDLE_OF_LEVEL)[0]
                           for batch in batches(rows)])
