"""From training rows to the parameters that a readout and a simplex in the latent start with.

The readout, a learned matrix after the blocks (`flow.readout`), starts as the one to whitened
principal components, and the simplex as classical archetypes of the first K - 1 of them. The blocks
before start as the identity, up to the order of features: so the flow starts as linear archetypal
analysis.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree

from flowaa.archetypes.classical.model import fit_model
from flowaa.archetypes.classical.search import Settings
from flowaa.bijectors.base import bound
from flowaa.bijectors.chain import Chain
from flowaa.bijectors.mixing import Linear
from flowaa.data.dataset import Split
from flowaa.data.seeding import Stream, generator
from flowaa.flow.density import MIDDLE_OF_LEVEL, Density
from flowaa.flow.noisy_simplex import NoisySimplex, NoisySimplexLaw
from flowaa.training.archetypes.start import at, batches
from flowaa.training.state import Params

Array = jax.Array

_LEAST_VARIANCE = 1e-6  # of a component, as a share of the largest
_NOISES = np.geomspace(0.02, 0.8, 12)  # sigma, of components with deviation 1
# Classical archetypes lie where the noise takes the furthest rows, the true ones within.
_SHRINKINGS = (1.0, 0.9, 0.8, 0.7, 0.6)
_CONCENTRATIONS = (0.5, 2.0)  # of weights, that the search begins with
_MOST_ROUNDS = 60
_LIKELIHOOD_ROWS, _MOST_POINTS = 1_000, 512


def start_latent(
    density: Density, train: Split, params: Params, *, n_rows: int, seed: int
) -> Params:
    """Parameters whose readout whitens, and whose base, if a simplex, fits, some training rows.

    Args:
        density: with a flow that ends in a readout.
        train: where rows are drawn from.
        params: the flow's.
        n_rows: how many are drawn.
        seed: of the draw and of the classical analysis.
    """
    order = generator(seed, Stream.ARCHETYPES).permutation(len(train))
    t = _before_readout(density, train, params, np.sort(order[:n_rows]))
    matrix, bias = whitening(t)
    index = _readout_index(density)
    readout = {"matrix": jnp.asarray(matrix, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    params = {**params, "bijector": {**params["bijector"], f"blocks_{index}": readout}}
    base = density.flow.base
    if isinstance(base, NoisySimplex):
        params["base"] = fit_simplex(t @ matrix + bias, base, seed=seed)
    return params


def whitening(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W [D, D] and b [D] with t W + b of mean 0 and variance 1: principal components, descending.

    The sign of each makes its largest coefficient positive.
    """
    t = np.asarray(t, np.float64)
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(t.T, bias=True)))
    variances, directions = variances[::-1], directions[:, ::-1]
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, np.arange(len(largest))])
    least = max(_LEAST_VARIANCE * variances[0], np.finfo(np.float32).tiny)
    matrix = directions / np.sqrt(np.maximum(variances, least))
    return matrix, -t.mean(0) @ matrix


def fit_simplex(z: np.ndarray, base: NoisySimplex, *, seed: int) -> Params:
    """Parameters of a simplex to start from, of whitened latents z [n, D].

    Those that make the first K - 1 components of some rows most likely, sought from classical
    archetypes, these moved towards their centre, and weights of several concentrations.
    """
    k = base.n_archetypes
    u = np.asarray(z[:, :k - 1], np.float32)
    fitted = fit_model(u, Settings(n_archetypes=k), rng=np.random.default_rng(seed)).archetypes
    centre = fitted.mean(0)
    some = jnp.asarray(u[:_LIKELIHOOD_ROWS])
    alone = NoisySimplex(k - 1, k, min(base.n_points, _MOST_POINTS))

    def nll(params: Params) -> Array:
        law = alone.apply({"params": params})
        assert isinstance(law, NoisySimplexLaw)
        return -law.log_prob(some).mean()

    of_candidate, with_gradient = jax.jit(nll), jax.jit(jax.value_and_grad(nll))

    def candidate(shrinking: float, noise: float, concentration: float) -> Params:
        unscaled = np.sqrt((1 + k) / (1 + k * concentration))
        values = {"shape": shrinking * unscaled * (fitted - centre), "log_noise": np.log(noise),
                  "log_concentration": np.full(k, np.log(concentration))}
        return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}

    firsts = [min((candidate(shrinking, noise, concentration)
                   for shrinking, noise in itertools.product(_SHRINKINGS, _NOISES)),
                  key=lambda params: float(of_candidate(params)))
              for concentration in _CONCENTRATIONS]
    found = [_searched(with_gradient, first) for first in firsts]
    return min(found, key=lambda pair: pair[0])[1]


def _searched(
    with_gradient: Callable[[Params], tuple[Array, Params]], first: Params
) -> tuple[float, Params]:
    """The least value that a search from the first parameters finds, and where."""
    flat, unflatten = ravel_pytree(first)

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = with_gradient(unflatten(jnp.asarray(values, jnp.float32)))
        return float(value), np.asarray(ravel_pytree(gradient)[0], np.float64)

    best = scipy.optimize.minimize(objective, np.asarray(flat, np.float64), jac=True,
                                   method="L-BFGS-B", options={"maxiter": _MOST_ROUNDS})
    return best.fun, unflatten(jnp.asarray(best.x, jnp.float32))


def _readout_index(density: Density) -> int:
    blocks = density.flow.bijector.blocks
    return max(index for index, block in enumerate(blocks) if isinstance(block, Linear))


def _before_readout(
    density: Density, train: Split, params: Params, rows: np.ndarray
) -> np.ndarray:
    """What the readout is given [n, D], of some training rows."""
    chain = density.flow.bijector
    index = _readout_index(density)
    before = Chain(chain.blocks[:index], scan=chain.scan)
    own = {name: value for name, value in params["bijector"].items()
           if int(name.removeprefix("blocks_")) < index}

    @jax.jit
    def encode(
        own: Params, x: jax.Array, label: jax.Array | None, context: jax.Array | None
    ) -> jax.Array:
        u, _ = density.preprocessing.to_model(x, MIDDLE_OF_LEVEL)
        t, _ = bound(before, own).encode(u, density.flow.condition(label, context))
        return t.reshape(len(x), -1)

    return np.concatenate([
        encode(own, jnp.asarray(train.x[part]), at(train.y, part), at(train.context, part))
        for part in batches(rows)])
