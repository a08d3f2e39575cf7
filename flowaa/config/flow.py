"""`config.flow` and `config.likelihood`: their fields, and the density they describe."""

import dataclasses
import functools
import importlib
from typing import Annotated, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowaa.bijectors.base import Bijector
from flowaa.bijectors.chain import Chain, Memory
from flowaa.bijectors.elementwise import Elementwise
from flowaa.bijectors.mixing import Linear
from flowaa.bijectors.radial_tail import RadialTail
from flowaa.bijectors.reshape import Flatten
from flowaa.bijectors.spline import Spline
from flowaa.bijectors.tail_transform import TailTransform
from flowaa.config.archetypes import ArchetypeFields, check_simplex
from flowaa.config.fields import COUNT, COUNT_0, HALF, POSITIVE, SHARE, read, read_seed
from flowaa.data.dataset import DataSpec
from flowaa.errors import UserError
from flowaa.flow.architecture import Architecture, Stage
from flowaa.flow.base_distribution import ClassMixture, StandardNormal
from flowaa.flow.density import Density
from flowaa.flow.flow import Flow
from flowaa.flow.likelihood import Dequantise, Preprocessing, Standardise
from flowaa.flow.noisy_simplex import NoisySimplex
from flowaa.flow.subnets import DenseSubnet

_Count = Annotated[int, COUNT]


@dataclasses.dataclass(frozen=True)
class FlowFields:
    """The keys of `config.flow`, which `configs/default.py` explains."""

    block: ClassVar[str] = "flow"
    architecture: Literal["stages", "auto"]
    reshape: tuple[Literal["none", "squeeze", "haar", "flatten"], ...]
    n_blocks: tuple[Annotated[int, COUNT_0], ...]
    width: tuple[_Count, ...]
    depth: tuple[Annotated[int, COUNT_0], ...]
    kernel_sizes: tuple[tuple[_Count | tuple[_Count, ...], ...], ...]
    split_off: tuple[Annotated[float, SHARE], ...]
    law: Literal["additive", "affine", "volume_preserving", "spline"]
    two_sided: bool
    split: Literal["halves", "checkerboard"]
    mixing: Literal["none", "permutation", "orthogonal", "invertible_linear"]
    actnorm: bool
    clamp: Annotated[float, POSITIVE]
    spline_bins: _Count
    spline_bound: Annotated[float, POSITIVE]
    split_off_conditional: bool
    memory: Memory
    scan: bool
    dropout: Annotated[float, SHARE]
    subnet: Literal["convolution", "attention"]
    n_heads: _Count
    subnet_dtype: Literal["float32", "bfloat16"]
    conditional: bool
    curves: bool
    readout: bool
    base: Literal["normal", "class_mixture", "simplex"]
    tails: Literal["gaussian", "transform", "student_t", "auto"]
    tail_features: tuple[Annotated[int, COUNT_0], ...] | tuple[()]
    bijector: str

    def __post_init__(self) -> None:
        if self.tail_features and self.tails != "transform":
            raise UserError(f"flow.tail_features is given, which flow.tails={self.tails} does not "
                            "take; leave it out, or set flow.tails=transform")
        if not sum(self.n_blocks) and not (self.curves or self.readout or self.bijector):
            raise UserError("flow.n_blocks is 0 in every stage, which leaves nothing to train; set "
                            "it to 1 or larger, or flow.readout=True")


@dataclasses.dataclass(frozen=True)
class LikelihoodFields:
    """The keys of `config.likelihood`."""

    block: ClassVar[str] = "likelihood"
    logit_alpha: Annotated[float, HALF]
    evaluation_samples: _Count


def build_architecture(config: ConfigDict) -> Architecture:
    """The architecture of `config.flow`; its fixed permutations and rotations follow `config.seed`.

    Raises:
        UserError: its stages' fields differ in length, or a choice is not one there is.
    """
    flow = read(FlowFields, config)
    per_stage = [field.name for field in dataclasses.fields(Stage)]
    lengths = {name: len(getattr(flow, name)) for name in per_stage}
    if len(set(lengths.values())) > 1:
        raise UserError(f"flow: give every field one entry per stage; the lengths are {lengths}")
    stages = tuple(
        Stage(**{name: getattr(flow, name)[index] for name in per_stage})
        for index in range(len(flow.n_blocks))
    )
    names = {field.name for field in dataclasses.fields(Architecture)} - {"stages", "seed"}
    values = {name: getattr(flow, name) for name in names}
    return Architecture(stages, seed=read_seed(config), **values)


def build_density(
    config: ConfigDict, spec: DataSpec, tail_shapes: tuple[tuple[float, float], ...] = ()
) -> Density:
    """Preprocessing, flow and base distribution, for data of this description.

    Args:
        config: the run's; `flow.tails=auto` is gaussian here, `config.tails` chooses.
        spec: the data's.
        tail_shapes: tail indices, (lower, upper) of each feature that `TailTransform` changes, or
            a pair of equal ones for `RadialTail`, to start from; no matter where parameters are
            trained already.
    """
    flow = read(FlowFields, config)
    if flow.base == "class_mixture" and not spec.n_classes:
        raise UserError("flow.base=class_mixture: the data has no labels; give labels (y), or base "
                        "normal")
    if flow.conditional and not (spec.n_classes or spec.context_width):
        raise UserError("flow.conditional=True: the data has neither labels nor context; give "
                        "labels (y) or context, or an unconditional flow")
    if flow.bijector:
        chain, latent_shape = _imported(flow, spec.shape)
    else:
        chain, latent_shape = build_architecture(config).build(spec.shape)
    chain, latent_shape = _with_ends(chain, latent_shape, flow, spec)
    chain = _with_tails(chain, flow, spec, tail_shapes)
    n_dims = int(np.prod(spec.shape))
    base: nn.Module = StandardNormal(n_dims)
    if flow.base == "class_mixture":
        base = ClassMixture(n_dims, spec.n_classes)
    if flow.base == "simplex":
        archetypes = read(ArchetypeFields, config)
        if flow.tails == "student_t":
            raise UserError("flow.base=simplex: flow.tails=student_t makes latents normal; set "
                            "flow.tails to transform or gaussian")
        check_simplex(archetypes, n_dims, has_readout=flow.readout)
        base = NoisySimplex(n_dims, archetypes.n_archetypes, archetypes.simplex_points)
    return Density(
        Flow(chain, base, spec.shape, latent_shape,
             n_condition_classes=spec.n_classes if flow.conditional else 0,
             context_mean=spec.context_mean if flow.conditional else (),
             context_std=spec.context_std if flow.conditional else ()),
        _build_preprocessing(read(LikelihoodFields, config), spec),
    )


def _with_ends(
    chain: Chain, latent_shape: tuple[int, ...], flow: FlowFields, spec: DataSpec
) -> tuple[Chain, tuple[int, ...]]:
    """The chain with each feature's curve before it and a learned matrix after it."""
    blocks = chain.blocks
    if flow.curves:
        if len(spec.shape) != 1:
            raise UserError(f"flow.curves=True: examples of the shape {spec.shape} are no rows of "
                            "numbers; leave it out")
        spline = Spline(flow.spline_bins, flow.spline_bound)
        subnet = functools.partial(DenseSubnet, flow.width[0])
        blocks = (Elementwise(subnet, spline), *blocks)
    if flow.readout:
        flatten: tuple[Bijector, ...] = ()
        if len(latent_shape) != 1:
            flatten, latent_shape = (Flatten(latent_shape),), (int(np.prod(latent_shape)),)
        blocks = (*blocks, *flatten, Linear())
    return Chain(blocks, chain.memory, chain.scan), latent_shape


def check_tails(flow: FlowFields, spec: DataSpec) -> None:
    """Raises a `UserError` where data of this description cannot have the tails of `flow.tails`."""
    if flow.tails in ("gaussian", "auto"):
        return
    if not can_be_heavy(spec):
        what = (f"values of {spec.n_levels} levels end at the last" if spec.n_levels
                else f"examples of the shape {spec.shape} are no rows of numbers")
        raise UserError(f"flow.tails={flow.tails}: {what}; set flow.tails=gaussian")
    features = flow.tail_features
    if len(set(features)) < len(features) or max(features, default=0) >= spec.shape[0]:
        raise UserError(f"flow.tail_features is {features}; give different columns of the rows' "
                        f"{spec.shape[0]}, counted from 0")


def can_be_heavy(spec: DataSpec) -> bool:
    """Whether data of this description may have heavy tails: rows of continuous values."""
    return len(spec.shape) == 1 and not spec.n_levels


def _with_tails(
    chain: Chain, flow: FlowFields, spec: DataSpec, shapes: tuple[tuple[float, float], ...]
) -> Chain:
    """The chain with a `TailTransform` at its data's end, or a `RadialTail` at the latent's."""
    check_tails(flow, spec)
    blocks = chain.blocks
    if flow.tails == "transform":
        blocks = (TailTransform(flow.tail_features, shapes), *blocks)
    if flow.tails == "student_t":
        blocks = (*blocks, RadialTail(shapes[0][0]) if shapes else RadialTail())
    return chain if blocks is chain.blocks else Chain(blocks, chain.memory, chain.scan)


def _imported(flow: FlowFields, shape: tuple[int, ...]) -> tuple[Chain, tuple[int, ...]]:
    """The chain that the function `flow.bijector` makes, and the shape of one example's latent."""
    module, _, name = flow.bijector.partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"flow.bijector is {flow.bijector!r} ({error}); give module:function, and "
                        "start Python where the module can be imported") from None
    chain = Chain((make(shape),), flow.memory)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    (z, _), _ = jax.eval_shape(chain.init_with_output, jax.random.key(0), x)
    return chain, z.shape[1:]


def _build_preprocessing(likelihood: LikelihoodFields, spec: DataSpec) -> Preprocessing:
    if not spec.n_levels:
        if likelihood.logit_alpha:
            raise UserError("likelihood.logit_alpha: the logit is for discrete data, this is "
                            "continuous; set it to 0")
        return Standardise(spec.mean, spec.std)
    mean = tuple(value + 0.5 for value in spec.mean)  # of levels and noise together
    return Dequantise(spec.n_levels, mean, spec.std, likelihood.logit_alpha)
