"""`config.training` and `config.figures`: their fields, and how long and on what is trained."""

import dataclasses
from typing import Annotated, ClassVar

from ml_collections import ConfigDict

from flowaa.config.data import DataFields
from flowaa.config.fields import COUNT, COUNT_0, FROM_0, SHARE, UNIT, checked, read
from flowaa.training.parallel import choose_devices
from flowaa.training.problem import TrainingOptions

_Count = Annotated[int, COUNT]


@dataclasses.dataclass(frozen=True)
class TrainingFields:
    """The keys of `config.training`, which `configs/default.py` explains."""

    block: ClassVar[str] = "training"
    batch_size: _Count
    steps: _Count
    steps_per_call: _Count
    log_every_steps: _Count
    evaluate_every_steps: _Count
    patience: Annotated[int, COUNT_0]
    max_minutes: Annotated[float, FROM_0]
    max_skipped_steps: _Count
    keep_checkpoints: _Count
    check_reversible_steps: Annotated[int, COUNT_0]
    min_reversible_cosine: Annotated[float, UNIT]
    n_devices: Annotated[int, COUNT_0]
    compilation_cache: str


@dataclasses.dataclass(frozen=True)
class FigureFields:
    """The keys of `config.figures`."""

    block: ClassVar[str] = "figures"
    n_samples: _Count
    temperature: Annotated[float, FROM_0]


def build_options(config: ConfigDict) -> TrainingOptions:
    """How long and on what devices a run is trained."""
    training = read(TrainingFields, config)
    return TrainingOptions(
        batch_size=training.batch_size,
        steps=training.steps,
        steps_per_call=training.steps_per_call,
        log_every_steps=training.log_every_steps,
        evaluate_every_steps=training.evaluate_every_steps,
        patience=training.patience,
        max_skipped_steps=training.max_skipped_steps,
        max_seconds=60.0 * training.max_minutes,
        keep_checkpoints=training.keep_checkpoints,
        device_bytes=read(DataFields, config).device_bytes,
        ema_decay=checked("optimizer.ema_decay", config.optimizer.ema_decay,
                          Annotated[float, SHARE]),
        seed=config.seed,
        devices=tuple(choose_devices(training.n_devices)),
    )
