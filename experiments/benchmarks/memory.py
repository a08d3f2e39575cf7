"""What reversible backpropagation saves, what it costs, and whether its gradients can be trusted.

Memory is that of the compiled gradient (`memory_analysis().temp_size_in_bytes`): exact, repeatable,
and had without running it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.benchmarks import _ours
from experiments.benchmarks._timing import median_s
from flowaa.bijectors.base import bound
from flowaa.bijectors.chain import Memory
from flowaa.config.flow import build_density
from flowaa.configs import thesis
from flowaa.data.sources.digits import digits
from flowaa.extremes import permute_features
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.base_distribution import StandardNormal
from flowaa.flow.flow import Flow
from flowaa.flow.reversibility import Reversibility, measure_reversibility

_GIB = 2**30
_BLOCKS_SHAPE = (64, 16, 16, 12)  # the batch that the blocks of the first rows see
_DEPTHS = (8, 32, 64)
_TRAINING_STEPS = 200
_BLOCKS = Architecture((Stage("none", 8, 16),), mixing="none")
_ATTENTION = Architecture((Stage("none", 8, 32, 1),), mixing="none", subnet="attention")

_SMALL_STAGES = (  # every reshaping and a split-off
    Stage("squeeze", 1, 8, 1, (3,), 0.5), Stage("haar", 1, 8, 1), Stage("flatten", 1, 16, 1),
)
_VARIANTS: dict[str, dict[str, Any]] = {
    "additive": {"law": "additive"},
    "affine": {"law": "affine"},
    "volume_preserving": {"law": "volume_preserving"},
    "spline": {"law": "spline"},
    "one_sided": {"two_sided": False},
    "checkerboard": {"split": "checkerboard"},
    "orthogonal": {"mixing": "orthogonal"},
    "attention": {"subnet": "attention"},
    "invertible_linear": {"mixing": "invertible_linear", "actnorm": True},
    "scanned": {"scan": True},
}


def run() -> dict[str, float]:
    """Measures; the slow rows are the 64 blocks' times and the deep chain's training."""
    figures = _time_ratios()
    figures |= _growth()
    figures["thesis_reversible_over_stored"] = _thesis_ratio()
    figures |= _gradient_errors()
    figures |= _deep_cosines()
    for side in (256, 512, 1024):
        figures[f"glow_{side}_gib"] = glow_temp_bytes(side, batch_size=8) / _GIB
    return figures


def glow_temp_bytes(side: int, *, batch_size: int) -> int:
    """Temp bytes of the gradient of a Glow of 3 scales x 32 blocks, width 256, scanned."""
    stages = tuple(Stage("squeeze", 32, 256, 2, ((3, 1, 3),), share) for share in (0.5, 0.5, 0.0))
    glow = Architecture(stages, two_sided=False, mixing="invertible_linear", actnorm=True,
                        memory="reversible", scan=True)
    return _temp_bytes(glow, (batch_size, side, side, 3))


def _growth() -> dict[str, float]:
    """Temp memory of 4 and 64 blocks."""
    small, large = (_temp_bytes(_blocks(n, "reversible"), _BLOCKS_SHAPE) for n in (4, 64))
    stored = _temp_bytes(_blocks(64, "stored"), _BLOCKS_SHAPE)
    return {
        "growth_4_to_64": large / small,
        "stored_over_reversible_64": stored / large,
        "reversible_64_mib": large / 2**20,
        "stored_64_mib": stored / 2**20,
        "growth_4_to_64_attention": _attention_temp_bytes(64) / _attention_temp_bytes(4),
    }


def _attention_temp_bytes(n_blocks: int) -> int:
    blocks = dataclasses.replace(
        _ATTENTION, stages=(dataclasses.replace(_ATTENTION.stages[0], n_blocks=n_blocks),),
        memory="reversible", scan=True)
    return _temp_bytes(blocks, _BLOCKS_SHAPE)


def _time_ratios() -> dict[str, float]:
    """Time of the gradient, reversible over stored, in turn."""
    figures = {}
    x = jax.random.normal(jax.random.key(0), _BLOCKS_SHAPE)
    for n in _DEPTHS:
        sides = []
        for memory in ("reversible", "stored"):
            flow = _flow(_blocks(n, memory), _BLOCKS_SHAPE[1:])
            params = _perturbed(flow, x)
            gradient = jax.jit(jax.grad(_loss(flow)))
            sides.append(lambda gradient=gradient, params=params: jax.block_until_ready(
                gradient(params, x)))
        reversible_s, stored_s = median_s(sides, n_rounds=7)
        figures[f"time_reversible_over_stored_{n}"] = reversible_s / stored_s
    return figures


def _thesis_ratio() -> float:
    """Temp memory of the thesis's gradient as a whole, reversible over stored."""
    spec = _ours.random_images(1, side=32).spec
    ratio = []
    for memory in ("reversible", "stored"):
        config = thesis.get_config()
        config.flow.memory = memory
        density = build_density(config, spec)
        ratio.append(_compiled_temp_bytes(density.flow, (64, 32, 32, 3)))
    return ratio[0] / ratio[1]


def _gradient_errors() -> dict[str, float]:
    """Largest error of a reversible gradient, relative to the largest entry, over all blocks."""
    errors = {}
    for name, fields in _VARIANTS.items():
        errors[name] = _gradient_error(Architecture(_SMALL_STAGES, **fields))
        print(f"gradient error, {name:20} {errors[name]:.2e}")
    with jax.enable_x64(True):
        double = max(_gradient_error(Architecture(_SMALL_STAGES, **fields))
                     for fields in _VARIANTS.values())
    return {"max_gradient_error": max(errors.values()), "max_gradient_error_float64": double}


def _gradient_error(architecture: Architecture) -> float:
    """Of params, input and a class condition, with random parameters."""
    x = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    label = jnp.arange(4) % 3
    gradients = []
    for memory in ("reversible", "stored"):
        flow = _flow(dataclasses.replace(architecture, memory=memory), x.shape[1:], n_classes=3)
        params = _perturbed(flow, x, label)
        gradient = jax.jit(jax.grad(_loss(flow, label), argnums=(0, 1)))
        gradients.append(jax.tree.leaves(gradient(params, x)))
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max())
               for a, b in zip(*gradients, strict=True))


def _deep_cosines() -> dict[str, float]:
    """100 blocks on digits, fresh and trained, on test digits and on their pixels shuffled.

    Scanned: unrolled, the gradients of a hundred blocks take minutes each to compile.
    """
    data = digits(seed=0, validation_fraction=0.1)
    # Dequantised: pixels that never change would drive densities, and gradients, out of range.
    noise_of_train, noise_of_test = jax.random.split(jax.random.key(2))
    images = _dequantised(data.train.x, noise_of_train)
    test = _dequantised(data.test.x[:64], noise_of_test)
    flow = _flow(Architecture((Stage("squeeze", 100, 16),), memory="reversible", scan=True),
                 (8, 8, 1))
    params = _perturbed(flow, images[:64], scale=0.01)
    optimizer = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(1e-3))
    opt_state = optimizer.init(params)

    @jax.jit
    def step(params: Any, opt_state: Any, x: jax.Array) -> tuple[Any, Any]:
        updates, opt_state = optimizer.update(jax.grad(_loss(flow))(params, x), opt_state)
        return optax.apply_updates(params, updates), opt_state

    measure: Callable[..., Reversibility] = jax.jit(
        lambda params, x: measure_reversibility(flow, params, x, None)
    )
    found = {"fresh": measure(params, test)}
    for index in range(_TRAINING_STEPS):
        start = 64 * index % (len(images) - 64)
        params, opt_state = step(params, opt_state, images[start : start + 64])
    found["trained"] = measure(params, test)
    found["out_of_distribution"] = measure(params, permute_features(jax.random.key(1), test))
    figures = {f"cosine_100_blocks_{name}": float(at.gradient_cosine) for name, at in found.items()}
    figures["reconstruction_100_blocks_trained"] = float(found["trained"].reconstruction_error)
    return {"min_gradient_cosine": min(figures["cosine_100_blocks_fresh"],
                                       figures["cosine_100_blocks_trained"]), **figures}


def _dequantised(levels: Any, key: jax.Array) -> jax.Array:
    """Digits of 17 levels [N, 8, 8, 1], in units of about 1."""
    return (levels + jax.random.uniform(key, levels.shape) - 8.5) / 6.0


def _blocks(n: int, memory: Memory) -> Architecture:
    """n two-sided affine convolution blocks."""
    return dataclasses.replace(_BLOCKS, stages=(Stage("none", n, 16),), memory=memory)


def _flow(architecture: Architecture, shape: tuple[int, ...], n_classes: int = 0) -> Flow:
    chain, latent_shape = architecture.build(shape)
    n_dims = shape[0] * shape[1] * shape[2]
    return Flow(chain, StandardNormal(n_dims), shape, latent_shape, n_classes)


def _loss(flow: Flow, label: jax.Array | None = None) -> Callable[[Any, jax.Array], jax.Array]:
    return lambda params, x: -bound(flow, params).log_prob(x, label).mean()


def _perturbed(
    flow: Flow, x: jax.Array, label: jax.Array | None = None, scale: float = 0.05
) -> Any:
    """Parameters none of which is zero."""
    params = flow.lazy_init(jax.random.key(0), x, label)["params"]
    key = jax.random.key(1)

    def perturb(index: Any, leaf: jax.Array) -> jax.Array:
        noise = jax.random.normal(jax.random.fold_in(key, index), leaf.shape, x.dtype)
        return leaf.astype(x.dtype) + scale * noise

    leaves = jax.tree.leaves(params)
    return jax.tree.unflatten(jax.tree.structure(params),
                              [perturb(index, leaf) for index, leaf in enumerate(leaves)])


def _temp_bytes(architecture: Architecture, shape: tuple[int, ...]) -> int:
    return _compiled_temp_bytes(_flow(architecture, shape[1:]), shape)


def _compiled_temp_bytes(flow: Flow, shape: tuple[int, ...]) -> int:
    """Temp bytes of the compiled gradient with respect to the parameters; nothing is run."""
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    params = jax.eval_shape(lambda x: flow.init(jax.random.key(0), x, None)["params"], x)
    analysis: Any = jax.jit(jax.grad(_loss(flow))).lower(params, x).compile().memory_analysis()
    return analysis.temp_size_in_bytes
