"""A data set: three splits and a description."""

import dataclasses
from typing import Any, Protocol

import numpy as np


class Rows(Protocol):
    """Rows that can be asked for by index: a NumPy array, or a reader of a larger store."""

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __getitem__(self, indices: Any, /) -> np.ndarray:
        """Rows at `indices`, an integer array [N], as [N, ...] uint8 or float32."""
        ...


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows and their labels."""

    x: Rows  # [N, H, W, C] uint8 levels, or [N, H, W, C] or [N, D] float32
    y: np.ndarray | None = None  # [N] int32 class indices, where the data is labelled
    source_rows: np.ndarray | None = None  # [N] which of the user's rows, where a split was made
    side: np.ndarray | None = None  # [N, K] float32 side information, e.g. scores of expressions
    context: np.ndarray | None = None  # [N, E] float32 that a conditional density is given

    def __len__(self) -> int:
        return len(self.x)


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Properties of the data that a model depends on; saved with every run."""

    shape: tuple[int, ...]  # of one row: (H, W, C) or (D,)
    n_levels: int = 0  # discrete data takes the values 0 … n_levels − 1; 0 = continuous
    n_classes: int = 0  # labels are 0 … n_classes − 1; 0 = unlabelled
    mean: tuple[float, ...] = ()  # per channel or feature, of the training split, in data units
    std: tuple[float, ...] = ()  # likewise; 1 where the data is constant
    class_names: tuple[str, ...] = ()
    side_names: tuple[str, ...] = ()  # of the columns of side information
    context_mean: tuple[float, ...] = ()  # [E] of the training split, as given; () = no context
    context_std: tuple[float, ...] = ()  # likewise; 1 where a column is constant

    @property
    def context_width(self) -> int:
        """Columns E of the context; 0 where there is none."""
        return len(self.context_mean)

    @property
    def is_image(self) -> bool:
        """Whether rows can be shown as pictures: (H, W, 1) or (H, W, 3)."""
        return len(self.shape) == 3 and self.shape[-1] in (1, 3)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The levels shown as black and as white; None for continuous data."""
        return (0.0, self.n_levels - 1.0) if self.n_levels else None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set with its splits; choices are made on validation, figures reported on test."""

    name: str
    spec: DataSpec
    train: Split
    validation: Split
    test: Split
