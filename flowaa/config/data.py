"""`config.data`: its fields, and the data set that it names."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from ml_collections import ConfigDict

from flowaa.config.fields import COUNT, FROM_0, UNIT, read
from flowaa.data.dataset import Dataset
from flowaa.data.sources.given import fingerprint, given
from flowaa.errors import UserError, warn

GIVEN = "given"  # the name of data that a program had in memory
_WITHOUT_DATA = ("mixture", "arrays", GIVEN)  # names that a config has by default, or for arrays


@dataclasses.dataclass(frozen=True)
class DataFields:
    """The keys of `config.data`, which `configs/default.py` explains."""

    block: ClassVar[str] = "data"
    name: str
    path: str
    dir: str
    prepared_dir: str
    n_rows: Annotated[int, COUNT]
    image_size: Annotated[int, COUNT]
    label: Literal["character", "expression"]
    nuisance: Annotated[float, FROM_0]
    nonlinear: bool
    concentration: tuple[float, ...]
    validation_fraction: Annotated[float, UNIT]
    test_fraction: Annotated[float, UNIT]
    device_bytes: Annotated[int, FROM_0]


def given_data(config: ConfigDict, data: Any) -> tuple[ConfigDict, Dataset]:
    """The splits of data in memory, and the config, which then tells them from other data."""
    fields = read(DataFields, config)
    if fields.name not in _WITHOUT_DATA or (fields.name != GIVEN and (fields.path or fields.dir)):
        named = ", ".join(f"data.{key}={getattr(fields, key)!r}" for key in ("name", "path", "dir")
                          if getattr(fields, key))
        warn(f"the data given to flowaa.train takes the place of what the config names ({named}); "
             "leave one of them out")
    dataset = given(data, seed=config.seed, validation_fraction=fields.validation_fraction,
                    test_fraction=fields.test_fraction)
    config = config.copy_and_resolve_references().unlock()
    config.data.update(name=GIVEN, path=fingerprint(dataset))
    return config.lock(), dataset


def build_data(config: ConfigDict) -> Dataset:
    """Loads the data set that `config.data` names.

    Raises:
        UserError: there is no such data set, or it cannot be read.
    """
    from flowaa.data.sources import arrays, digits, faces, ferg, image_folder, keller, tfds, toy

    data = read(DataFields, config)
    splits = {"seed": config.seed, "validation_fraction": data.validation_fraction}
    tested = {**splits, "test_fraction": data.test_fraction}
    loaders: dict[str, Callable[[], Dataset]] = {
        "mixture": lambda: toy.mixture(n_rows=data.n_rows, **tested),
        "moons": lambda: toy.moons(n_rows=data.n_rows, **tested),
        "digits": lambda: digits.digits(**splits),
        "keller": lambda: keller.keller(n_rows=data.n_rows, nonlinear=data.nonlinear,
                                       concentration=data.concentration, **tested),
        "faces": lambda: faces.faces(
            dir=data.dir, label=data.label, image_size=data.image_size, n_rows=data.n_rows,
            nuisance=data.nuisance, **tested,
        ),
        "ferg": lambda: ferg.ferg(
            dir=data.dir, prepared_dir=data.prepared_dir, label=data.label,
            image_size=data.image_size, **tested,
        ),
        "arrays": lambda: arrays.arrays(path=data.path, **tested),
        "image_folder": lambda: image_folder.image_folder(
            dir=data.dir, image_size=data.image_size, **tested
        ),
    }
    if data.name == GIVEN:
        raise UserError("data.name=given: this run was trained on arrays that a program gave to "
                        "flowaa.train and that the run does not keep; use it from Python")
    if data.name.startswith("tfds:"):
        name = data.name.removeprefix("tfds:")
        return tfds.tensorflow_dataset(name, data_dir=data.dir, **tested)
    if data.name not in loaders:
        raise UserError(
            f"data.name: there is no data set {data.name!r}; there are {', '.join(loaders)} "
            "and tfds:NAME"
        )
    return loaders[data.name]()
