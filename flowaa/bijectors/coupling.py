"""Coupling layers (thesis Def. 2.2.1): split, condition, apply a law, merge."""

import jax

from flowaa.bijectors.base import (
    Array,
    Bijector,
    Params,
    SubnetFactory,
    add_cotangents,
    bound,
    zero_log_det,
)
from flowaa.bijectors.laws import Law
from flowaa.bijectors.splits import Halves, Split


class Coupling(Bijector):
    """One part changes by a law whose parameters a subnet reads off the other part.

    encode, one-sided:  y_1 = g(x_1; m(x_2)),  y_2 = x_2
    encode, two-sided:  y_1 = g(x_1; m_1(x_2)),  y_2 = g(x_2; m_2(y_1))   (both change)

    decode undoes the sides in reverse order; log_det is the law's, summed over sides.
    """

    subnet: SubnetFactory  # called once for each side
    law: Law
    split: Split = Halves()
    sides: tuple[int, ...] = (0, 1)  # the parts that change, in the order of encode

    def setup(self) -> None:
        """One subnet a side."""
        self.subnets = tuple(self.subnet() for _ in self.sides)

    def encode(self, x: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """y = g(x; m(context)), side after side."""
        parts = list(self.split.split(x))
        log_det = zero_log_det(x)
        for index, side in enumerate(self.sides):
            theta = self.parameters_of_law(parts[1 - side], cond, index, parts[side].shape[-1])
            parts[side], side_log_det = self.law.forward(parts[side], theta)
            log_det = log_det + side_log_det
        return self.split.merge(*parts), log_det

    def decode(self, z: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """x = g^-1(z; m(context)), the sides in reverse."""
        parts = list(self.split.split(z))
        log_det = zero_log_det(z)
        for index, side in reversed(list(enumerate(self.sides))):
            theta = self.parameters_of_law(parts[1 - side], cond, index, parts[side].shape[-1])
            parts[side], side_log_det = self.law.inverse(parts[side], theta)
            log_det = log_det + side_log_det
        return self.split.merge(*parts), log_det

    def parameters_of_law(
        self, context: Array, cond: Array | None, index: int, n_channels: int
    ) -> Array:
        """theta = m(context, cond) for a target of n_channels, the side at `index` of `sides`."""
        side = self.sides[index]
        seen = self.split.context(context, 1 - side)
        theta = self.subnets[index](seen, cond, n_outputs=self.law.n_parameters * n_channels)
        return self.split.select(theta, side)

    def pull_back(
        self,
        params: Params,
        z: Array,
        cond: Array | None,
        cotangents: tuple[Array, Array],
        dropout_key: Array | None,
    ) -> tuple[Array, Array, Params, Array | None]:
        """See `Bijector.pull_back`: one vjp of each subnet serves the inverse and the gradient."""
        d_z, d_log_det = cotangents
        parts, d_parts = list(self.split.split(z)), list(self.split.split(d_z))
        d_params = d_cond = None
        for index, side in reversed(list(enumerate(self.sides))):
            n_channels = parts[side].shape[-1]

            def law_parameters(
                params: Params, context: Array, cond: Array | None,
                index: int = index, n_channels: int = n_channels,
            ) -> Array:
                coupling = bound(self, params, dropout_key=dropout_key)
                return coupling.parameters_of_law(context, cond, index, n_channels)

            theta, subnet_vjp = jax.vjp(law_parameters, params, parts[1 - side], cond)
            parts[side], _ = self.law.inverse(parts[side], theta)
            _, law_vjp = jax.vjp(self.law.forward, parts[side], theta)
            d_parts[side], d_theta = law_vjp((d_parts[side], d_log_det))
            # Zero in the parameters of the other side's subnet.
            d_subnets, d_context, d_side_cond = subnet_vjp(d_theta)
            d_params = add_cotangents(d_params, d_subnets)
            d_parts[1 - side] = d_parts[1 - side] + d_context
            d_cond = add_cotangents(d_cond, d_side_cond)
        return self.split.merge(*parts), self.split.merge(*d_parts), d_params, d_cond
