"""What archetypes of pictures start from, on drawn faces, whose true weights are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowaa.archetypes.classical.comparison import weight_error
from flowaa.archetypes.deep.tangents import CHANGES
from flowaa.config.archetypes import build_archetypes
from flowaa.config.flow import build_density
from flowaa.data.dataset import Split
from flowaa.data.description import describe
from flowaa.data.drawing.expressions import EXTREMES
from flowaa.data.drawing.face import draw_faces
from flowaa.data.drawing.population import draw_population
from flowaa.flow.density import MIDDLE_OF_LEVEL
from flowaa.training.archetypes.start import centred_pictures, class_centres, start_heads
from tests.training.tiny import config_of

N, SIZE, N_CLASSES = 1_200, 24, 6


@pytest.fixture(scope="module")
def faces():
    people = draw_population(N, seed=0, nuisance=0.5)
    x = draw_faces(people.characters, people.weights, image_size=SIZE, pose=people.pose)
    return Split(x, people.characters.astype(np.int32), side=people.weights)


def model_of(faces, **overrides):
    config = config_of(**{"flow.reshape": ("flatten",), "flow.conditional": True,
                          "archetypes.n_archetypes": len(EXTREMES),
                          "archetypes.sets": "per_class", **overrides})
    spec = describe(faces, n_levels=256, class_names="0123456789"[:N_CLASSES], side_names=EXTREMES)
    return build_archetypes(config, spec, build_density(config, spec))


def test_what_small_moves_do_not_change_leads_to_the_true_weights(faces):
    """As values differ, the same start is off by 0.157: poses are its archetypes."""
    model = model_of(faces, **{"archetypes.blur_px": 0.75, "archetypes.invariant_to": CHANGES})
    x, y = jnp.asarray(faces.x), jnp.asarray(faces.y)
    params = jax.jit(model.init)(jax.random.key(0), x[:8], y[:8])
    params = start_heads(model, faces, params, n_rows=N, weights_are_side=False, seed=0)
    weights = jax.jit(model.weights)(params, x, y, MIDDLE_OF_LEVEL)
    assert weight_error(np.asarray(weights), faces.side) < 0.11


def test_pictures_are_seen_less_their_own_class(faces):
    """What all pictures of a class share is not seen; a class without any makes no NaN."""
    model = model_of(faces, **{"archetypes.blur_px": 0.5})
    last = N_CLASSES - 1
    some = Split(faces.x[faces.y != last], faces.y[faces.y != last])
    rows = np.arange(len(some))
    centres = class_centres(model, some, rows, N_CLASSES)
    assert np.isfinite(centres).all()
    assert centred_pictures(model, faces, np.arange(20), centres).shape == (20, SIZE * SIZE * 3)
    seen = centred_pictures(model, some, rows, centres)
    for one in np.unique(some.y):
        np.testing.assert_allclose(seen[some.y == one].mean(0), 0.0, atol=1e-4)
