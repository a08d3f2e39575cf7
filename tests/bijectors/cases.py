"""The table: a name, and how to make that bijector and inputs for it.

A new block gets every test of test_laws.py by a line here.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator

from flowaa.bijectors.base import Bijector, SubnetFactory
from flowaa.bijectors.chain import Chain
from flowaa.bijectors.coupling import Coupling
from flowaa.bijectors.elementwise import Elementwise
from flowaa.bijectors.laws import Additive, Affine, Law, VolumePreserving
from flowaa.bijectors.mixing import ActNorm, InvertibleLinear, Linear, Orthogonal, Permutation
from flowaa.bijectors.radial_tail import RadialTail
from flowaa.bijectors.reshape import Flatten, Haar, Squeeze
from flowaa.bijectors.spline import Spline
from flowaa.bijectors.split_off import SplitOff
from flowaa.bijectors.splits import Checkerboard, Halves, Split
from flowaa.bijectors.tail_transform import TailTransform
from flowaa.flow.subnets import AttentionSubnet, ConvSubnet, DenseSubnet

IMAGE = (2, 4, 3)  # not square, and channels that do not halve
VECTOR = (5,)
N_CLASSES = 3

CONDITIONS = {"none": 0, "label": N_CLASSES}  # widths; a label's is one-hot


@dataclasses.dataclass(frozen=True)
class Case:
    """A bijector and the shapes of one example's input and condition."""

    make: Callable[[], Bijector]
    shape: tuple[int, ...]
    condition: str = "none"
    dropout: bool = False  # whether gradients are compared with dropout on
    memories: tuple[str, ...] = ("stored", "reversible")


def conv() -> SubnetFactory:
    return functools.partial(ConvSubnet, 4, depth=1, dropout_rate=0.25)


def attention() -> SubnetFactory:
    return functools.partial(AttentionSubnet, 4, depth=1, n_heads=2, dropout_rate=0.25)


def dense() -> SubnetFactory:
    return functools.partial(DenseSubnet, 6, depth=1, dropout_rate=0.25)


LAWS: dict[str, Law] = {
    "additive": Additive(),
    "affine": Affine(),
    "volume_preserving": VolumePreserving(),
    "spline": Spline(n_bins=4),
}
SPLITS: dict[str, Split] = {"halves": Halves(), "checkerboard": Checkerboard()}


def coupling_cases() -> Iterator[tuple[str, Case]]:
    """Every law × split × image or vector × condition; with a label, one-sided as well."""
    for law_name, law in LAWS.items():
        for split_name, split in SPLITS.items():
            # Of the one-sided, an image's first part changes and a vector's second.
            for kind, subnet, shape, one_side in (("image", conv(), IMAGE, (0,)),
                                                  ("vector", dense(), VECTOR, (1,))):
                if split_name == "checkerboard" and kind == "vector":
                    continue
                make = functools.partial(Coupling, subnet, law, split)
                for condition in CONDITIONS:
                    name = f"{law_name}-{split_name}-{kind}-{condition}"
                    yield f"{name}-two_sided", Case(make, shape, condition)
                one_sided = functools.partial(make, one_side)
                yield f"{law_name}-{split_name}-{kind}-label-one_sided", Case(
                    one_sided, shape, "label")
        for condition in CONDITIONS:
            yield f"{law_name}-elementwise-{condition}", Case(
                functools.partial(Elementwise, dense(), law), (2,), condition)
    for kind, subnet, shape in (("image", conv(), IMAGE), ("attention", attention(), IMAGE),
                                ("vector", dense(), VECTOR)):
        make = functools.partial(Coupling, subnet, Affine())
        yield f"affine-dropout-{kind}", Case(make, shape, "label", dropout=True)


def mixing_cases() -> Iterator[tuple[str, Case]]:
    """Maps that need no condition, and take one all the same."""
    blocks: dict[str, Callable[[], Bijector]] = {
        "permutation": lambda: Permutation(seed=1),
        "orthogonal": lambda: Orthogonal(seed=1),
        "invertible_linear": lambda: InvertibleLinear(seed=1),
        "actnorm": ActNorm,
    }
    for name, make in blocks.items():
        yield f"{name}-image", Case(make, IMAGE)
        yield f"{name}-vector", Case(make, VECTOR, "label")
    yield "permutation-exchanged", Case(lambda: Permutation(1, 2), VECTOR)
    yield "permutation-gather", Case(blocks["permutation"], (300,))  # too wide for a matrix
    yield "tails-all", Case(TailTransform, VECTOR, "label")
    yield "tails-some", Case(lambda: TailTransform((3, 0), ((0.2, 0.4), (1.0, 0.1))), VECTOR)
    yield "radial_tail-vector", Case(RadialTail, VECTOR, "label")
    yield "radial_tail-one", Case(RadialTail, (1,))
    yield "linear", Case(Linear, VECTOR, "label")
    yield "squeeze", Case(Squeeze, IMAGE)
    yield "haar", Case(Haar, IMAGE)
    yield "flatten", Case(lambda: Flatten(IMAGE), IMAGE)


def split_off_cases() -> Iterator[tuple[str, Case]]:
    """Splits at an image's and a vector's channels, with flows inside of either kind."""

    def rest_of_image() -> Chain:
        return Chain((Coupling(conv(), Affine()), Flatten((2, 4, 2)), Permutation(2)))

    def rest_of_vector() -> Chain:
        return Chain((Coupling(dense(), Affine()), Permutation(2)))

    for condition in CONDITIONS:
        for name, subnet in (("plain", None), ("conditional", conv()), ("attention", attention())):
            yield f"split_off-{name}-image-{condition}", Case(
                functools.partial(_split_off, rest_of_image, 1, (2, 4, 2), (16,), subnet),
                IMAGE, condition, dropout=True)
        for name, subnet in (("plain", None), ("conditional", dense())):
            yield f"split_off-{name}-vector-{condition}", Case(
                functools.partial(_split_off, rest_of_vector, 2, (3,), (3,), subnet),
                VECTOR, condition, dropout=True)


def _split_off(rest: Callable[[], Chain], n_off: int, stay: tuple[int, ...],
               rest_shape: tuple[int, ...], subnet: SubnetFactory | None) -> SplitOff:
    return SplitOff(rest(), n_off, stay, rest_shape, subnet)


def chain_cases() -> Iterator[tuple[str, Case]]:
    """Chains in chains, and a split-off in the middle, as an architecture has them."""

    def nested() -> Chain:
        inner = Chain((ActNorm(), Coupling(conv(), Affine()), InvertibleLinear(3)))
        return Chain((Coupling(conv(), Affine(), Checkerboard()), inner, Squeeze(),
                      Chain((Permutation(4), Coupling(conv(), Affine(), sides=(1,))))))

    def multi_scale() -> Chain:
        last = Chain((Flatten((1, 2, 6)), Coupling(dense(), Affine()), Orthogonal(5)))
        off = SplitOff(last, 6, (1, 2, 6), (12,), conv())
        return Chain((Squeeze(), ActNorm(), Coupling(conv(), Affine()), off))

    memories = ("stored", "reversible", "remat")
    for condition in CONDITIONS:
        for name, make in (("nested_chain", nested), ("multi_scale", multi_scale)):
            yield f"{name}-{condition}", Case(make, IMAGE, condition, True, memories)


CASES: dict[str, Case] = {
    name: case
    for cases in (coupling_cases, mixing_cases, split_off_cases, chain_cases)
    for name, case in cases()
}
