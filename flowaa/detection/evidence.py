"""A flow's statistics as inputs of a detector, in units in which held-out rows are of order one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

_LARGEST = 1e30  # stands for an infinite statistic, and for NaN, which overflow leaves far out


@dataclasses.dataclass(frozen=True)
class EvidenceScale:
    """Location and spread of S statistics over some rows.

    Medians and quantiles, and an arcsinh, since held-out rows of an overfitted flow have
    log-densities with tails over many orders of magnitude.
    """

    medians: tuple[float, ...]  # [S]
    spreads: tuple[float, ...]  # [S] 90 % quantile less the median

    def __call__(self, statistics: Array) -> Array:
        """arcsinh((t − median) / spread) [B, S], increasing in t, of statistics t [B, S]."""
        finite = jnp.nan_to_num(statistics, nan=_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
        return jnp.arcsinh((finite - jnp.asarray(self.medians)) / jnp.asarray(self.spreads))


def evidence_scale(statistics: np.ndarray) -> EvidenceScale:
    """The scale of statistics [N, S], N at least 1."""
    finite = np.nan_to_num(np.asarray(statistics, float), nan=_LARGEST, posinf=_LARGEST,
                           neginf=-_LARGEST)
    medians, upper = np.quantile(finite, [0.5, 0.9], axis=0)
    # Of a single row, or of equal ones, the spread is 0: then a hundredth of the median's size.
    spreads = np.maximum(upper - medians, 0.01 * np.maximum(np.abs(medians), 1.0))
    return EvidenceScale(tuple(map(float, medians)), tuple(map(float, spreads)))
