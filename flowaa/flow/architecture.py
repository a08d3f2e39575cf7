"""An architecture as typed fields, and the chain of bijectors it describes.

A stage is a reshaping, then blocks of (actnorm, coupling, mixing), then perhaps a split-off:

    image ─► squeeze ─► n_blocks × (actnorm, coupling, mixing) ─► split off ─► next stage ─► latent

A block of rows of one feature is (actnorm, monotone spline).
"""

import dataclasses
import functools
import math
from typing import Literal

import numpy as np

from flowaa.bijectors.base import Bijector, SubnetFactory
from flowaa.bijectors.chain import Chain, Memory
from flowaa.bijectors.coupling import Coupling
from flowaa.bijectors.elementwise import Elementwise
from flowaa.bijectors.laws import Additive, Affine, Law, VolumePreserving
from flowaa.bijectors.mixing import ActNorm, InvertibleLinear, Orthogonal, Permutation
from flowaa.bijectors.reshape import Flatten, Haar, Squeeze
from flowaa.bijectors.spline import Spline
from flowaa.bijectors.split_off import SplitOff
from flowaa.bijectors.splits import Checkerboard, Halves, Split
from flowaa.errors import UserError
from flowaa.flow.subnets import AttentionSubnet, ConvSubnet, DenseSubnet

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Stage:
    """Blocks at one resolution."""

    reshape: Literal["none", "squeeze", "haar", "flatten"]
    n_blocks: int
    width: int  # hidden channels or features of a subnet
    depth: int = 2  # hidden layers of a subnet
    # Of an image stage, cycled through from block to block: one for all layers, or one a layer.
    kernel_sizes: tuple[int | tuple[int, ...], ...] = (3,)
    split_off: float = 0.0  # share of the channels that becomes noise after the blocks


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The typed fields that determine a flow's bijector."""

    stages: tuple[Stage, ...]
    law: Literal["additive", "affine", "volume_preserving", "spline"] = "affine"
    two_sided: bool = True
    split: Literal["halves", "checkerboard"] = "halves"
    mixing: Literal["none", "permutation", "orthogonal", "invertible_linear"] = "permutation"
    actnorm: bool = False
    clamp: float = 1.5
    spline_bins: int = 8
    spline_bound: float = 4.0
    split_off_conditional: bool = True
    dropout: float = 0.0
    # Of image stages. Attention is between the pixels of a resolution, in heads of the width.
    subnet: Literal["convolution", "attention"] = "convolution"
    n_heads: int = 4
    # In which subnets compute; parameters, couplings and log-dets stay in float32.
    subnet_dtype: Literal["float32", "bfloat16"] = "float32"
    memory: Memory = "stored"
    # Blocks in a loop over periods of equal kernels; the periods share their permutations.
    scan: bool = False
    seed: int = 0  # of the fixed permutations and rotations

    def build(self, shape: Shape) -> tuple[Chain, Shape]:
        """The chain for data of one example's `shape`, and its latent shape.

        Args:
            shape: (H, W, C) or (D,).

        Returns:
            The chain, and the shape of one example's latent.

        Raises:
            UserError: the stages do not fit the shape.
        """
        if not self.two_sided and shape != (1,) and self.stages[-1].n_blocks < 2:
            raise UserError("flow.two_sided=False: one block in the last stage leaves half of the "
                            "features as they are; set flow.n_blocks to 2 or more there")
        if self.subnet == "attention" and len(shape) == 1:
            raise UserError(f"flow.subnet=attention: rows of {shape[0]} numbers have no pixels to "
                            "attend to; set flow.subnet to convolution, which is dense for them")
        return self._chain(0, shape, self.memory)

    def _chain(self, first: int, shape: Shape, memory: Memory) -> tuple[Chain, Shape]:
        """The stages from `first` on; those after a split-off are a chain within it."""
        blocks: list[Bijector] = []
        for index in range(first, len(self.stages)):
            stage = self.stages[index]
            reshape, shape = _reshape(stage.reshape, shape, index)
            blocks += reshape
            subnets = self._subnets(stage, shape)
            blocks += self._blocks(index, shape, subnets)
            if stage.split_off:
                n_off = _n_off(stage.split_off, shape, index)
                stay = (*shape[:-1], shape[-1] - n_off)
                rest, rest_shape = self._chain(index + 1, stay, "stored")
                subnet = subnets[0] if self.split_off_conditional else None
                blocks.append(SplitOff(rest, n_off, stay, rest_shape, subnet, self.clamp))
                return Chain(tuple(blocks), memory, self.scan), (int(np.prod(shape)),)
        return Chain(tuple(blocks), memory, self.scan), shape

    def _blocks(self, index: int, shape: Shape, subnets: list[SubnetFactory]) -> list[Bijector]:
        """The blocks of the stage at `index`; with `scan`, a chain for each equal period."""
        n_blocks = self.stages[index].n_blocks
        period = math.lcm(len(subnets), 1 if self.two_sided else 2) if self.scan else n_blocks
        chains = [  # of modules of their own: linen shares the parameters of one that stands twice
            [part for place in range(min(period, n_blocks - start))
             for part in self._block(index, place, shape, subnets[place % len(subnets)])]
            for start in range(0, n_blocks, max(period, 1))]
        if self.scan:
            return [Chain(tuple(parts)) for parts in chains]
        return [part for parts in chains for part in parts]

    def _block(
        self, stage: int, block: int, shape: Shape, subnet: SubnetFactory
    ) -> list[Bijector]:
        """Actnorm, coupling and mixing, whichever the architecture has."""
        if shape == (1,):  # there are no halves: its distribution is a matter of splines
            return [ActNorm(),
                    Elementwise(subnet, Spline(self.spline_bins, self.spline_bound))]
        is_checkerboard = self.split == "checkerboard" and len(shape) == 3
        # One-sided blocks change their parts in turn where no mixing exchanges these.
        in_turn = self.mixing == "none" or is_checkerboard
        sides = (0, 1) if self.two_sided else (block % 2 if in_turn else 1,)
        split: Split = Halves()
        if is_checkerboard:
            split = Checkerboard()
        elif shape[-1] < 2:
            raise UserError(
                f"flow.split: stage {stage} has a single channel, which cannot be halved; "
                "set flow.reshape to squeeze it first, or flow.split=checkerboard"
            )
        if is_checkerboard and shape[1] % 2:
            raise UserError(
                f"flow.split: a checkerboard needs images of even width, not {shape[1]} "
                f"(stage {stage}); resize the images"
            )
        coupling = Coupling(subnet, self._law(), split, sides)
        seed = int(np.random.SeedSequence((self.seed, stage, block)).generate_state(1)[0])
        # What the first block leaves unchanged is brought to where the second changes it.
        n_exchanged = shape[-1] // 2 if block == 0 and sides == (1,) and not in_turn else 0
        mixing: dict[str, list[Bijector]] = {
            "none": [],
            "permutation": [Permutation(seed, n_exchanged)],
            "orthogonal": [Orthogonal(seed)],
            "invertible_linear": [InvertibleLinear(seed)],
        }
        return [*([ActNorm()] if self.actnorm else []), coupling, *mixing[self.mixing]]

    def _law(self) -> Law:
        laws: dict[str, Law] = {
            "additive": Additive(),
            "affine": Affine(self.clamp),
            "volume_preserving": VolumePreserving(self.clamp),
            "spline": Spline(self.spline_bins, self.spline_bound),
        }
        return laws[self.law]

    def _subnets(self, stage: Stage, shape: Shape) -> list[SubnetFactory]:
        """Subnets to cycle through: one of kind `subnet` for images, dense layers for vectors."""
        # None leaves float64 inputs in float64.
        dtype = None if self.subnet_dtype == "float32" else self.subnet_dtype
        if len(shape) == 1:
            return [functools.partial(
                DenseSubnet, stage.width, depth=stage.depth, dropout_rate=self.dropout, dtype=dtype,
            )]
        if self.subnet == "attention":
            if stage.width % self.n_heads:
                raise UserError(f"flow.n_heads={self.n_heads} does not divide flow.width="
                                f"{stage.width}; give a width that is a multiple of it")
            return [functools.partial(
                AttentionSubnet, stage.width, depth=stage.depth, n_heads=self.n_heads,
                dropout_rate=self.dropout, dtype=dtype,
            )]
        return [functools.partial(
            ConvSubnet, stage.width, depth=stage.depth, kernel_size=kernel_size,
            dropout_rate=self.dropout, dtype=dtype,
        ) for kernel_size in stage.kernel_sizes]


def _reshape(kind: str, shape: Shape, stage: int) -> tuple[list[Bijector], Shape]:
    """The reshaping that begins a stage, and the shape after it."""
    if kind == "none":
        return [], shape
    if kind == "flatten" and len(shape) == 1:
        return [], shape
    if len(shape) != 3:
        raise UserError(
            f"flow.reshape: stage {stage} cannot {kind} rows of {shape[0]} numbers, only images; "
            "set flow.reshape to none"
        )
    if kind == "flatten":
        return [Flatten(shape)], (int(np.prod(shape)),)
    height, width, channels = shape
    if height % 2 or width % 2:
        raise UserError(
            f"flow.reshape: stage {stage} cannot {kind} images of {height}x{width}, both sides "
            "must be even; resize the images or drop that squeeze"
        )
    block: Bijector = Squeeze() if kind == "squeeze" else Haar()
    return [block], (height // 2, width // 2, 4 * channels)


def _n_off(share: float, shape: Shape, stage: int) -> int:
    """Channels to split off: at least one, and at least one stays."""
    n_off = round(share * shape[-1])
    if not 0 < n_off < shape[-1]:
        raise UserError(
            f"flow.split_off: a share of {share} of {shape[-1]} channels leaves nothing to split "
            f"(stage {stage}); choose a share between 0 and 1 that gives whole channels"
        )
    return n_off
