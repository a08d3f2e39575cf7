"""What a flow is trained and evaluated on: the negative log-likelihood (thesis eq. 2.10)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from flowaa.data.batches import Labelled, MaskedBatch
from flowaa.flow.density import Density
from flowaa.flow.likelihood import bits_per_dim, importance_bound
from flowaa.training.example_key import example_key
from flowaa.training.state import Params
from flowaa.training.step import Loss, Metrics


def nll_loss(density: Density, *, with_dropout: bool) -> Loss:
    """The mean negative log-likelihood in nats; metrics `nll` (nats) and `bits_per_dim`."""

    def loss(
        params: Params, batch: Labelled, example_ids: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        noise_key, dropout_key = jax.random.split(key)
        noise = density.noise(noise_key, example_ids)
        masks = example_key(dropout_key, example_ids[0]) if with_dropout else None
        log_prob = density.log_prob(params, batch.x, batch.y, noise, masks)
        nll = -log_prob.mean()
        return nll, {"nll": nll, "bits_per_dim": bits_per_dim(-nll, density.flow.n_dims)}

    return loss


def evaluation_values(density: Density, *, n_samples: int) -> Callable[..., Metrics]:
    """Values per example for `parallel.compile_evaluation`.

    `nll` is that of one dequantisation sample, the density that is trained; `nll_bound`, with
    n_samples = K > 1, is the K-sample importance bound. Continuous data has no noise to average.
    """

    def values(params: Params, batch: MaskedBatch, key: jax.Array) -> Metrics:
        def log_prob(key: jax.Array) -> jax.Array:
            noise = density.noise(key, batch.example_ids)
            return density.log_prob(params, batch.x, batch.y, noise)

        keys = jax.random.split(key, n_samples)
        if n_samples == 1 or not density.preprocessing.is_discrete:
            return {"nll": -log_prob(keys[0])}
        log_probs = jnp.stack([log_prob(key) for key in keys])
        return {"nll": -log_probs[0], "nll_bound": -importance_bound(log_probs)}

    return values
