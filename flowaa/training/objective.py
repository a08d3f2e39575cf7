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
    """The mean of −log p(x | label) in nats, or of −log p(x) where nothing depends on a label.

    Metrics are `nll` (nats) and `bits_per_dim` of p(x); where the base mixes classes, besides
    `conditional_nll` and `conditional_bits_per_dim` of p(x | label), which is minimised.
    """

    def loss(
        params: Params, batch: Labelled, example_ids: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        noise_key, dropout_key = jax.random.split(key)
        noise = density.noise(noise_key, example_ids)
        masks = example_key(dropout_key, example_ids[0]) if with_dropout else None
        given_label, marginal = density.log_probs(
            params, batch.x, batch.y, noise, masks, batch.context)
        metrics: Metrics = {}
        for name, log_prob in _named(density, given_label, marginal).items():
            nll = -log_prob.mean()
            bits = name.replace("nll", "bits_per_dim")
            metrics |= {name: nll, bits: bits_per_dim(-nll, density.flow.n_dims)}
        return -given_label.mean(), metrics

    return loss


def evaluation_values(density: Density, *, n_samples: int) -> Callable[..., Metrics]:
    """Values per example for `parallel.compile_evaluation`.

    `nll` is −log p(x) of one dequantisation sample; `nll_bound`, with n_samples = K > 1, is the
    K-sample importance bound. Continuous data has no noise to average. Where the base mixes
    classes, p(x) is the marginal, sum p(y) p(x | y), and `conditional_nll` is −log p(x | label).
    What a conditional flow is given, label or context, is given in both.
    """

    def values(params: Params, batch: MaskedBatch, key: jax.Array) -> Metrics:
        def log_probs(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            noise = density.noise(key, batch.example_ids)
            return density.log_probs(params, batch.x, batch.y, noise, context=batch.context)

        first, *others = jax.random.split(key, n_samples)
        given_label, marginal = log_probs(first)
        named = {name: -log_prob for name, log_prob in
                 _named(density, given_label, marginal).items()}
        if others and density.preprocessing.is_discrete:
            samples = jnp.stack([marginal, *(log_probs(key)[1] for key in others)])
            named["nll_bound"] = -importance_bound(samples)
        return named

    return values


def _named(density: Density, given_label: jax.Array, marginal: jax.Array) -> Metrics:
    """Log-probabilities under the names of their negatives."""
    named = {"nll": marginal}
    return {**named, "conditional_nll": given_label} if density.mixes_classes else named
