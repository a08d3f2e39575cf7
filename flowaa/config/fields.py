"""Typed fields of a config's blocks: each key's type and range, checked when it is read."""

import dataclasses
import difflib
import math
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from ml_collections import ConfigDict

from flowaa.errors import UserError

Fields = TypeVar("Fields")


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers a key may have. NaN and infinity are in no range."""

    holds: Callable[[Any], bool]
    description: str  # completes "it must be …"


_LARGEST_COUNT = 10**9  # beyond, memory fails long before the run starts
FROM_0 = Range(lambda value: value >= 0, "0 or larger")
FROM_1 = Range(lambda value: value >= 1, "1 or larger")
POSITIVE = Range(lambda value: value > 0, "larger than 0")
COUNT = Range(lambda value: 1 <= value <= _LARGEST_COUNT, f"1 or larger, up to {_LARGEST_COUNT}")
COUNT_0 = Range(lambda value: 0 <= value <= _LARGEST_COUNT, f"0 or larger, up to {_LARGEST_COUNT}")
COUNT_0_OR_2 = Range(lambda value: value == 0 or 2 <= value <= _LARGEST_COUNT, "0, or 2 or larger")
SEED = Range(lambda value: 0 <= value < 2**32, "0 or larger, and less than 2**32")
SHARE = Range(lambda value: 0 <= value < 1, "0 or larger, and less than 1")
UNIT = Range(lambda value: 0 <= value <= 1, "between 0 and 1")
HALF = Range(lambda value: 0 <= value < 0.5, "0 or larger, and less than 0.5")

_TYPES: dict[Any, tuple[tuple[type, ...], str]] = {  # what is accepted, and what it is called
    int: ((int, np.integer), "a whole number"),
    float: ((int, float, np.integer, np.floating), "a number"),
    bool: ((bool, np.bool_), "True or False"),
    str: ((str,), "text"),
}


def read(kind: type[Fields], config: ConfigDict | Mapping[str, Any]) -> Fields:
    """A block of a config as typed fields.

    Args:
        kind: a dataclass whose fields are the keys of its `block`. A number's range stands in its
            type, `Annotated[int, COUNT]`; words are a `Literal`.
        config: the whole config.

    Raises:
        UserError: the config lacks the block or a key, or a value has another type or lies outside
            its range.
    """
    hints = get_type_hints(kind, include_extras=True)
    block = kind.block  # type: ignore[attr-defined]
    values = _get(config, block, block)
    return kind(**{
        name: checked(f"{block}.{name}", _get(values, name, f"{block}.{name}"), hints[name])
        for name in _names(kind)})


def read_seed(config: ConfigDict) -> int:
    """The config's seed."""
    return checked("seed", _get(config, "seed", "seed"), Annotated[int, SEED])


def refuse_unknown_keys(kind: Any, config: ConfigDict) -> None:
    """Raises a `UserError` that names a key of the block that is no field of its class."""
    block, known = kind.block, _names(kind)
    for key in sorted(set(config[block]) - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {block}.{near[0]}? " if near else ""
        raise UserError(f"{block}.{key}: there is no such key; {hint}configs/default.py lists all")


def checked(key: str, value: Any, hint: Any) -> Any:
    """The value, as a Python value of the type that the hint says.

    Raises:
        UserError: it has another type or lies outside its range.
    """
    problem, found = _convert(value, hint)
    if problem:
        raise UserError(f"{key} is {' '.join(repr(value).split())}; it must be {problem}")
    return found


def _convert(value: Any, hint: Any) -> tuple[str, Any]:
    """What the value would have to be, or "", and the value as a Python value."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        problem, found = _convert(value, arguments[0])
        if not problem and not arguments[1].holds(found):
            problem = arguments[1].description
            problem = f"whole, {problem}" if arguments[0] is int else problem
        return problem, found
    if origin is Literal:
        choices = f"one of {', '.join(arguments)}"
        return ("" if isinstance(value, str) and value in arguments else choices), value
    if origin in (Union, types.UnionType):
        attempts = [_convert(value, argument) for argument in arguments]
        return next((attempt for attempt in attempts if not attempt[0]), attempts[0])
    if origin is tuple:
        return _convert_tuple(value, arguments)
    accepted, description = _TYPES[hint]
    is_bool = isinstance(value, bool | np.bool_)
    if not isinstance(value, accepted) or (is_bool and hint is not bool):
        return description, value
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        return f"{description} that is finite", value
    return "", hint(value)


def _convert_tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """As `_convert`, of tuples; those of numbers are not empty, unless `tuple[()]` is allowed."""
    if not arguments:  # tuple[()]
        return ("" if isinstance(value, tuple | list) and not value else "an empty tuple"), ()
    repeats = arguments[-1] is Ellipsis
    inner = arguments[:1] if repeats else arguments
    may_be_empty = inner[0] is str or get_origin(inner[0]) is Literal
    size = "" if repeats else f"{len(inner)} "
    if not isinstance(value, tuple | list) or not (value or may_be_empty) or not (
        repeats or len(value) == len(inner)
    ):
        return f"a tuple of {size}values", value
    attempts = [_convert(entry, inner[0]) for entry in value]
    return next((problem for problem, _ in attempts if problem), ""), tuple(
        found for _, found in attempts)


def _names(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _get(values: Any, name: str, key: str) -> Any:
    if not isinstance(values, Mapping | ConfigDict) or name not in values:
        raise UserError(f"the config lacks the key {key}; if an older flowaa wrote it, add the key "
                        "to config.json or train anew")
    return values[name]
