"""Scores of how outlying rows are, by what a flow says of them; larger is more outlying."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from scipy.spatial.distance import cdist

from flowaa.data.dataset import Dataset, Split
from flowaa.errors import UserError
from flowaa.outliers.evidence import FlowStatistics

SCORES = ("nll", "latent_norm", "typicality", "hull", "neighbour", "discriminator", "combined")

_ROWS = 2_000  # of a split that are kept …
_VALUES = 2**22  # … or fewer, where so many have more values than this
_BATCH = 256
_LARGEST = 1e30  # stands for an infinite statistic


@dataclasses.dataclass(frozen=True)
class Reference:
    """Statistics of a run's own rows, which the scores of other rows refer to."""

    train: np.ndarray  # [M, D] latents of training rows
    nll: np.ndarray  # [N] −log p(x) of validation rows, nats
    norm: np.ndarray  # [N] latent norms of validation rows
    neighbour: np.ndarray  # [N] distances of their latents to the nearest of `train`

    def typicality(self, nll: np.ndarray) -> np.ndarray:
        """|−log p(x) less the validation rows' median| [B], in nats.

        Rows that are more probable than typical ones are outlying too (Nalisnick et al. 2019,
        arXiv:1906.02994).
        """
        return np.abs(nll - np.median(self.nll))

    def distances(self, z: np.ndarray) -> np.ndarray:
        """Distances [B] of latents z [B, D] to the nearest training row's."""
        return np.concatenate([cdist(z[start:start + _BATCH], self.train).min(1)
                               for start in range(0, len(z), _BATCH)] or [np.zeros(0)])

    def combined(self, statistics: FlowStatistics) -> np.ndarray:
        """Sum [B] of −ln p of nll, latent norm, typicality and neighbour (Fisher).

        p is the conformal (1 + n) / (N + 1), n the number of the N validation rows that are at
        least as outlying. Beyond all of them, where p is 1 / (N + 1), the arcsinh of the excess
        over the largest, in units of its distance from the median, is added.
        """
        nll, norm = _finite(statistics.nll), _finite(statistics.radius)
        pairs = ((nll, self.nll), (norm, self.norm),
                 (self.typicality(nll), self.typicality(self.nll)),
                 (self.distances(np.asarray(statistics.z)), self.neighbour))
        return sum((_surprise(score, held_out) for score, held_out in pairs), np.zeros(len(nll)))


def reference_of(train: FlowStatistics, validation: FlowStatistics) -> Reference:
    """The reference of what a flow says of training and of validation rows."""
    reference = Reference(np.clip(np.asarray(train.z), -_LARGEST, _LARGEST),
                          _finite(validation.nll), _finite(validation.radius), np.zeros(0))
    distances = reference.distances(np.asarray(validation.z))
    return dataclasses.replace(reference, neighbour=_finite(distances))


def save_rows(path: Path, dataset: Dataset) -> None:
    """Writes some training and validation rows, evenly spread, in data units, as `.npz`.

    With them the validation rows' labels, where there are any.
    """
    def some(split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        n_rows = max(1, min(_ROWS, _VALUES // int(np.prod(dataset.spec.shape))))
        index = np.arange(0, len(split), -(-len(split) // n_rows))
        rows = np.asarray(split.x[index])
        is_finite = np.isfinite(rows).all(tuple(range(1, rows.ndim)))
        label = None if split.y is None else np.asarray(split.y)[index][is_finite]
        return rows[is_finite], label

    validation, label = some(dataset.validation)
    arrays = {"train": some(dataset.train)[0], "validation": validation}
    if label is not None:
        arrays["validation_label"] = label.astype(np.int32)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_rows(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The training and the validation rows [n, *shape] that `save_rows` wrote.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    instead = "train anew, or take another score, e.g. nll or latent_norm"
    if not path.is_file():
        raise UserError(f"{path} is missing: the run was trained by an older flowaa, or saved from "
                        f"Python; {instead}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            train, validation = saved["train"], saved["validation"]
        if train.shape[1:] != shape or validation.shape[1:] != shape:
            raise ValueError(f"rows of the shapes {train.shape} and {validation.shape}")
        for rows in (train, validation):
            if rows.dtype.kind not in "biuf":
                raise ValueError(f"its rows are of the type {rows.dtype}")
            if not len(rows) or not np.isfinite(rows).all():
                raise ValueError("it holds no rows, or some that are not finite")
    except Exception as error:  # whatever NumPy, zipfile or zlib make of it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is damaged ("
                        f"{'it holds no arrays' if 'pickle' in reason else reason}); {instead}"
                        ) from None
    return train, validation


def load_labels(path: Path) -> np.ndarray | None:
    """The labels of the validation rows that `load_rows` gives, None where they have none."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
        return saved.get("validation_label")


def _surprise(score: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """−ln of the conformal p-value [B], continued beyond the held-out scores [N]."""
    known = np.sort(held_out)
    n_at_least = len(known) - np.searchsorted(known, score, side="left")
    spread = max(known[-1] - np.median(known), 1e-12)
    excess = np.minimum(np.maximum(score - known[-1], 0) / spread, _LARGEST)
    return np.log(len(known) + 1) - np.log1p(n_at_least) + np.arcsinh(excess)


def _finite(values: jax.Array | np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.asarray(values, float), nan=_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
