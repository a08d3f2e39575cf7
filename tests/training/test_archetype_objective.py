"""The loss of archetypes in training and in evaluation, on one batch with every loss in use."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from flowaa.bijectors.base import bound
from flowaa.config.archetypes import build_archetypes, read_archetypes
from flowaa.config.flow import build_density
from flowaa.data.batches import Labelled, MaskedBatch
from flowaa.flow.likelihood import Dequantise
from flowaa.training.archetypes.objective import (
    ArchetypeModel,
    archetype_objective,
    archetype_values,
)
from flowaa.training.archetypes.variational import EncoderDecoder, VariationalBottleneck
from flowaa.training.step import AXIS
from tests.training import archetype_batch

N = archetype_batch.N
IDS, KEY = np.arange(N), jax.random.key(2)


@pytest.fixture(scope="module")
def options():
    return read_archetypes(archetype_batch.config())


@pytest.fixture(scope="module")
def setting():
    """A model without noise on the weights, parameters away from their zeros, and a batch."""
    data = archetype_batch.dataset()
    config = ConfigDict(archetype_batch.config().to_dict())
    config.archetypes.weight_noise = 0.0
    model = build_archetypes(config, data.spec, build_density(config, data.spec))
    params = jax.jit(model.init)(jax.random.key(1), data.train.x, data.train.y)
    params = jax.tree.map(lambda leaf: leaf + 0.05, params)
    return model, params, Labelled(data.train.x, data.train.y, data.train.side)


def under_axis(function, *arguments):
    """The function on one device of the axis that losses are computed under."""
    return jax.tree.map(lambda leaf: leaf[0], jax.jit(jax.vmap(
        lambda _: function(*arguments), axis_name=AXIS))(jnp.zeros(1)))


def trained_loss(model, weights, params, batch):
    loss = archetype_objective(model, weights, freeze_flow=False, with_dropout=False)
    return under_axis(loss, params, batch, IDS, KEY)


def evaluated(model, weights, params, batch, mask=None):
    mask = np.ones(len(batch.x), bool) if mask is None else mask
    masked = MaskedBatch(batch.x, batch.y, mask, np.arange(len(batch.x)), batch.side)
    return under_axis(archetype_values(model, weights), params, masked, KEY)


def test_what_selects_is_what_is_trained(setting, options):
    """Every term of the loss counts, with its weight, as in training."""
    total, metrics = trained_loss(setting[0], options.loss_weights, *setting[1:])
    values = evaluated(setting[0], options.loss_weights, *setting[1:])
    assert float(values["loss"].mean()) == pytest.approx(float(total), rel=1e-5)
    for name, weight in dataclasses.asdict(options.loss_weights).items():
        assert weight > 0
        assert float(values[name].mean()) == pytest.approx(float(metrics[name]), rel=1e-5), name


def test_filling_rows_are_in_no_loss_of_the_batch(setting, options):
    model, params, batch = setting
    filled = Labelled(*(np.concatenate([column, column[:4]]) for column in batch[:3]))
    mask = np.arange(N + 4) < N
    expected = evaluated(model, options.loss_weights, params, batch)
    found = evaluated(model, options.loss_weights, params, filled, mask)
    for name in ("archetype", "prototype", "volume", "loss"):
        np.testing.assert_allclose(found[name][:N], expected[name], rtol=1e-5, err_msg=name)


def test_reconstructions_are_compared_by_the_distance(setting, options):
    model, params, batch = setting
    weights = options.loss_weights
    _, metrics = trained_loss(model, weights, params, batch)
    noise = model.bottleneck.noise(jax.random.split(KEY, 4)[0], IDS)
    encoded = model.bottleneck.encode(params["flow"], batch.x, batch.y, noise, None)
    heads = bound(model.heads, params["heads"])
    latent = heads.latent(heads.weights(encoded.t, batch.y), batch.y)
    decoded = model.bottleneck.decode(params["flow"], latent, batch.y)
    expected = np.square(model.distance.difference(decoded, encoded.u)).mean()
    assert float(metrics["reconstruction"]) == pytest.approx(float(expected), rel=1e-4)
    plain = trained_loss(dataclasses.replace(model, distance=None), weights, params, batch)[1]
    assert float(plain["reconstruction"]) == pytest.approx(
        float(np.square(decoded - encoded.u).mean()), rel=1e-4)
    assert float(expected) < 0.9 * float(plain["reconstruction"])


class Watched(VariationalBottleneck):
    """Keeps the keys that it is given."""

    def noise(self, key, example_ids):
        self.noise_key = key
        return super().noise(key, example_ids)

    def reconstruct(self, params, encoded, latent, label, key, example_ids):
        self.drawing_key = key
        return super().reconstruct(params, encoded, latent, label, key, example_ids)


def test_pixel_noise_and_latent_are_drawn_from_keys_of_their_own(setting, options):
    """From one key the same bits would make both."""
    heads = dataclasses.replace(setting[0].heads, n_dims=2)
    network = EncoderDecoder(archetype_batch.SHAPE, 8, n_latent=2)
    bottleneck = Watched(network, Dequantise(256, (128.0,), (70.0,)))
    model = ArchetypeModel(bottleneck, heads)
    batch = setting[2]
    params = jax.jit(model.init)(jax.random.key(1), batch.x, batch.y)
    masked = MaskedBatch(batch.x, batch.y, np.ones(N, bool), IDS, batch.side)
    weights = dataclasses.replace(options.loss_weights, side=0.0, latent_reconstruction=0.0,
                                  prototype=0.0)
    values = archetype_values(model, weights)
    loss = archetype_objective(model, weights, freeze_flow=False, with_dropout=False)
    for function, arguments in ((values, (masked, KEY)), (loss, (batch, IDS, KEY))):
        jax.vmap(lambda _, f=function, a=arguments: f(params, *a), axis_name=AXIS)(jnp.zeros(1))
        assert not np.array_equal(jax.random.key_data(bottleneck.noise_key),
                                  jax.random.key_data(bottleneck.drawing_key))
