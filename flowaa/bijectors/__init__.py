"""Bijectors: the invertible blocks that a flow is built of, and the contract for one's own.

A block of one's own is a linen module with two methods; `check` tries the laws of the contract:

>>> import flax.linen as nn, jax.numpy as jnp
>>> from flowaa import bijectors
>>> class Asinh(bijectors.Bijector):
...     def setup(self):
...         self.s = self.param("s", nn.initializers.zeros, (1,))
...     def encode(self, x, cond=None):  # z = exp(s) asinh(x)
...         log_slope = self.s - jnp.log1p(x**2) / 2
...         return jnp.exp(self.s) * jnp.arcsinh(x), bijectors.sum_per_example(log_slope)
...     def decode(self, z, cond=None):
...         x = jnp.sinh(jnp.exp(-self.s) * z)
...         return x, -self.encode(x)[1]
>>> bijectors.check(Asinh(), (2,))

A flow of it is a function of the shape of one example. In an importable file `my_flow.py`,
`config.flow.bijector = "my_flow:flow"` trains it, and `flowaa.load_run` finds it there again:

>>> def flow(shape):
...     return bijectors.Chain((Asinh(), bijectors.Orthogonal(seed=1), bijectors.ActNorm()))
"""

from flowaa.bijectors.base import (
    Bijector,
    add_cotangents,
    bound,
    params_of,
    sum_per_example,
    zero_log_det,
)
from flowaa.bijectors.chain import Chain
from flowaa.bijectors.contract import check
from flowaa.bijectors.coupling import Coupling
from flowaa.bijectors.elementwise import Elementwise
from flowaa.bijectors.laws import Additive, Affine, VolumePreserving
from flowaa.bijectors.mixing import (
    ActNorm,
    InvertibleLinear,
    Linear,
    Orthogonal,
    Permutation,
)
from flowaa.bijectors.radial_tail import RadialTail
from flowaa.bijectors.reshape import Flatten, Haar, Squeeze
from flowaa.bijectors.spline import Spline
from flowaa.bijectors.split_off import SplitOff
from flowaa.bijectors.splits import Checkerboard, Halves
from flowaa.bijectors.subject import BrokenLawError
from flowaa.bijectors.tail_transform import TailTransform

__all__ = [
    "ActNorm", "Additive", "Affine", "Bijector", "BrokenLawError", "Chain", "Checkerboard",
    "Coupling", "Elementwise", "Flatten", "Haar", "Halves", "InvertibleLinear", "Linear",
    "Orthogonal",
    "Permutation", "RadialTail", "Spline", "SplitOff", "Squeeze", "TailTransform",
    "VolumePreserving", "add_cotangents", "bound", "check", "params_of", "sum_per_example",
    "zero_log_det",
]
