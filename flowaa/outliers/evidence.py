"""The statistics of a flow that a detector sees beside the data, and their scales."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from flowaa.data.dataset import Dataset, Split
from flowaa.data.rows import read_all
from flowaa.detection.evidence import evidence_scale
from flowaa.detection.model import FlowEvidence
from flowaa.flow.density import Density
from flowaa.outliers.draws import flow_statistics
from flowaa.training.state import Params

Array = jax.Array

_ROWS = 2_000  # of a split, that quantiles are taken of


def statistics(density: Density) -> Callable[[Params, Array], Array]:
    """A function of the flow's parameters and x to −log p(x) in nats and the latent norm [B, 2]."""
    return lambda params, x: jnp.stack(flow_statistics(density, params, x)[:2], axis=1)


def split_statistics(density: Density, flow_params: Params, split: Split) -> np.ndarray:
    """−log p(x) in nats and latent norms [N, 2] of a split's first rows; infinite for NaN."""
    x = read_all(split.x)[:_ROWS]
    found = statistics(density)(flow_params, jnp.asarray(x))
    return np.nan_to_num(np.asarray(found, float), nan=np.inf)


def flow_evidence(density: Density, flow_params: Params, dataset: Dataset) -> FlowEvidence:
    """The evidence of a trained flow, in the scales of its data's splits."""
    held_out, seen = (evidence_scale(split_statistics(density, flow_params, split))
                      for split in (dataset.validation, dataset.train))
    return FlowEvidence(statistics(density), held_out, seen)
